//! The tables of pipelines that are made of topics: what runs, what was done, what happened, and what was not passed on.

use super::cells::Kind::{Bigint, Flag, Int, Text, Time};
use super::view::{Of, View, ViewColumn, environment, of, same};

/// All of them.
pub(super) static VIEWS: [View; 7] = [
    View {
        name: "pipelines",
        about: "The pipelines of all environments, as they were applied last; those that were removed, too.",
        columns: PIPELINES,
        of: Of::Current("__pipelines@latest"),
    },
    View {
        name: "deployments",
        about: "Everything that was done to pipelines: the log of deployments, which is kept for ever.",
        columns: DEPLOYMENTS,
        of: Of::Topic("__deployments"),
    },
    View {
        name: "runs",
        about: "The runs of pipelines, each as it stands now; kept for 30 days.",
        columns: RUNS,
        of: Of::Topic("__runs@latest"),
    },
    View {
        name: "check_results",
        about: "What the checks of each run have found; kept for 7 days.",
        columns: CHECK_RESULTS,
        of: Of::Topic("__check_results"),
    },
    View {
        name: "pipeline_logs",
        about: "What those who run pipelines say; kept for 7 days.",
        columns: LOGS,
        of: Of::Topic("__logs"),
    },
    View {
        name: "positions",
        about: "How far each task of a pipeline has read each place of its inputs.",
        columns: POSITIONS,
        of: Of::Topic("__positions@latest"),
    },
    View {
        name: "dead_letters",
        about: "The records that pipelines did not pass on: the topics of dead letters of all pipelines that are applied.",
        columns: DEAD_LETTERS,
        of: Of::DeadLetters,
    },
];

const ENVIRONMENT: ViewColumn = of("environment", Text, "env", "The environment.");
const PIPELINE: ViewColumn = same("pipeline", Text, "The pipeline.");

const PIPELINES: &[ViewColumn] = &[
    ENVIRONMENT,
    PIPELINE,
    same("version", Int, "The version, counted from 1."),
    same(
        "state",
        Text,
        "`running`, `paused` or `removed`: what is wanted. How it goes is in `sys.runs`.",
    ),
    same(
        "fingerprint",
        Text,
        "What tells versions that do the same from those that do not.",
    ),
    same("spec", Text, "The file, as canonical JSON."),
    same("query", Text, "The query as it is compared."),
    same("resolved", Text, "Its inputs with their columns, as JSON."),
    same("output", Text, "The columns of its result, as JSON."),
    same(
        "deployment",
        Text,
        "The deployment that made it what it is now.",
    ),
    same("author", Text, "Who did it."),
    same(
        "git_commit",
        Text,
        "The commit of the files, if it is known.",
    ),
    same("message", Text, "Why, if somebody said."),
    of("since", Time, "time", "When."),
];

const DEPLOYMENTS: &[ViewColumn] = &[
    of("deployment", Text, "id", "Names it."),
    ENVIRONMENT,
    PIPELINE,
    same(
        "action",
        Text,
        "`apply`, `rollback`, `pause`, `resume`, `cancel`, `run`, `remove`, or `cut`: where an old version ended.",
    ),
    same("from_version", Int, "The version that ran before, if any."),
    same("to_version", Int, "The version that runs from then on."),
    same(
        "class",
        Text,
        "What kind of change it was: `new`, `metadata`, `hand_over`, `source_change`.",
    ),
    same(
        "positions",
        Text,
        "Where reading went on, as JSON; NULL where it went on by itself.",
    ),
    of(
        "deployment_of",
        Text,
        "of",
        "Of a cut: the deployment that it carries out.",
    ),
    same("author", Text, "Who did it."),
    same("message", Text, "Why, if somebody said."),
    of("time", Time, "time", "When."),
    same("base", Text, "The state that its plan was made from."),
];

const RUNS: &[ViewColumn] = &[
    ENVIRONMENT,
    PIPELINE,
    of("run_id", Text, "run", "Names the run."),
    same("version", Int, "The version that ran."),
    of(
        "trigger_kind",
        Text,
        "trigger",
        "What started it: `schedule`, `continuous`, `once` or `manual`.",
    ),
    of(
        "due_at",
        Time,
        "nominal",
        "The time it was due; NULL without a schedule.",
    ),
    same(
        "state",
        Text,
        "`running`, `succeeded`, `failed`, `cancelled`, `timed_out` or `interrupted`.",
    ),
    of("started_at", Time, "started", "When it began."),
    of(
        "ended_at",
        Time,
        "ended",
        "When it ended; NULL while it goes on, or if nobody was left to say so.",
    ),
    same("attempt", Int, "Counted from 1."),
    same("rows_in", Bigint, "Records that were read."),
    same("rows_out", Bigint, "Rows that were written."),
    of(
        "dead_letters",
        Bigint,
        "dead",
        "Records that became dead letters.",
    ),
    same("dropped", Bigint, "Rows that a check left out."),
    same("warned", Bigint, "Rows that a check let pass and counted."),
    same("error", Text, "Why it failed."),
    of(
        "afterwards",
        Text,
        "then",
        "What becomes of the pipeline after it failed: `retrying`, or `held` until somebody does something; NULL if it goes on as its file says.",
    ),
];

const CHECK_RESULTS: &[ViewColumn] = &[
    ENVIRONMENT,
    PIPELINE,
    of("run_id", Text, "run", "The run."),
    same("version", Int, "The version that ran."),
    of(
        "check_name",
        Text,
        "check",
        "The check: its name, or `not_null(id)`.",
    ),
    same("severity", Text, "`error`, `warn` or `drop`."),
    of("rows_checked", Bigint, "rows", "Rows that were looked at."),
    of("rows_failed", Bigint, "failed", "Rows that failed."),
    same("time", Time, "When the run had ended."),
];

const LOGS: &[ViewColumn] = &[
    same("time", Time, "When."),
    ENVIRONMENT,
    PIPELINE,
    same("version", Int, "The version, if one ran."),
    of("run_id", Text, "run", "The run, if one went on."),
    same("task", Text, "The part of the pipeline, if it is of one."),
    same("level", Text, "`debug`, `info`, `warn` or `error`."),
    same("message", Text, "What is said."),
];

const POSITIONS: &[ViewColumn] = &[
    ENVIRONMENT,
    PIPELINE,
    same(
        "task",
        Text,
        "The part of the pipeline: `main`, `land` or `load`; `run` for the pipeline itself.",
    ),
    same(
        "input",
        Text,
        "The input; empty where a task keeps what it has carried out, and a pipeline which of its runs are over.",
    ),
    same(
        "place",
        Text,
        "Where in it: `topic:ID:PARTITION`, `file:PATH`, `table:NAME`.",
    ),
    same("position", Text, "How far, as JSON."),
    same("version", Int, "The version that read so far."),
    same("time", Time, "When."),
];

const DEAD_LETTERS: &[ViewColumn] = &[
    environment("The environment."),
    PIPELINE,
    same("version", Int, "The version that did not pass it on."),
    same(
        "reason",
        Text,
        "In a word: the check that failed, `decode`, `error`, or why the sink refused it.",
    ),
    of("check_name", Text, "check", "The check, if it was one."),
    same("message", Text, "In a sentence."),
    same(
        "topic",
        Text,
        "The topic, file or table that the record is in.",
    ),
    same("partition", Int, "The partition, if it is a topic."),
    same(
        "offset",
        Bigint,
        "The offset in the partition, or the number of the record in the file.",
    ),
    same("row", Text, "The row, if it is a table."),
    same("attempt", Int, "How often it was tried."),
    same("time", Time, "When it became a dead letter."),
    same("record_time", Time, "The time of the record."),
    same("key", Text, "Its key; bytes that are no text as `\\x00ff`."),
    same("value", Text, "Its value."),
    same("headers", Text, "Its headers, as JSON."),
    same("is_cut", Flag, "Whether it was too large to be kept whole."),
    of(
        "dead_topic",
        Text,
        "_topic",
        "The topic of dead letters that it is in.",
    ),
    of(
        "dead_partition",
        Int,
        "_partition",
        "The partition of that.",
    ),
    of("dead_offset", Bigint, "_offset", "The offset in that."),
];
