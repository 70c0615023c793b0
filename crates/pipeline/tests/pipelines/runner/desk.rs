//! [`Desk`]: somebody with a folder of files who plans and applies what is in it, as the command does, beside a worker.

use std::path::Path;
use std::sync::Arc;

use client::admin::{ConfigResource, describe_configs};
use client::{Cluster, Isolation, OffsetSpec, TopicPartition, list_offsets};
use pipeline::control::plan::{self, PipelinePlan, Refused, inputs};
use pipeline::control::{
    self, Applied, Hands, LogLine, Plan, Request, Run, Step, Store, Who, act, facts, last_runs,
    outside,
};
use pipeline::runner::{Worker, WorkerOptions};
use pipeline::secrets::Secrets;
use spec::{File, Surroundings};
use testkit::postgres::Database;

use super::{ENV, consume};
use crate::control::{World, environment};

/// A broker, and a folder with pipelines and data.
pub(crate) struct Desk {
    pub(crate) world: World,
    folder: tempfile::TempDir,
    secrets: tempfile::TempDir,
}

struct Creates(Secrets);

impl Hands for Creates {
    async fn create_outside(&mut self, plan: &PipelinePlan) -> Result<(), String> {
        let created = outside::create(&plan.record, &plan.outside, &self.0).await;
        created.map_err(|error| error.to_string())
    }

    async fn done(&mut self, _step: Step) {}
}

impl Desk {
    pub(crate) async fn start() -> Self {
        Self {
            world: World::start().await,
            folder: tempfile::tempdir().unwrap(),
            secrets: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.world.cluster
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file whole, as somebody does who renames it when it is done.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let unfinished = self.folder.path().join(".unfinished");
        std::fs::write(&unfinished, bytes).unwrap();
        std::fs::rename(unfinished, path).unwrap();
    }

    /// Where a secret leads.
    pub(crate) fn secret(&self, name: &str, address: &str) {
        std::fs::write(self.secrets.path().join(name), address).unwrap();
    }

    /// The secret `pg` leads to a database.
    pub(crate) fn database(&self, database: &Database) {
        self.secret("pg", &database.address());
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(Some(self.secrets.path().to_owned()))
    }

    pub(crate) fn worker(&self) -> Worker {
        let options = WorkerOptions {
            threads: 2,
            memory_bytes_max: 64 << 20,
            secrets: self.secrets(),
            priority: None,
            pace: None,
        };
        Worker::start(self.world.client(), options).expect("threads")
    }

    /// What a plan is of a pipeline's file, `test.yaml` in the folder.
    pub(crate) async fn plan(&self, yaml: &str) -> Result<Plan, Refused> {
        let name = self.folder.path().join("test.yaml").display().to_string();
        let file = File::read(&name, yaml.as_bytes(), &Surroundings::NONE).expect("a pipeline");
        let mut files = vec![file];
        let environment = environment(ENV);
        let cluster = self.cluster();
        let store = Store::open(cluster).await.expect("what runs");
        let unnamed = inputs::absolute(&mut files);
        assert!(unnamed.is_empty(), "{unnamed:?}");
        let running = |name: &str| store.state().current(ENV, name).map(AsRef::as_ref);
        let faults = inputs::look(&mut files, &running, &self.secrets()).await;
        let topics = plan::topics_of(&files, &environment);
        let facts = facts(cluster, &topics).await.expect("facts");
        let wanted = match plan::prepare(files, &environment, &facts) {
            Ok(_) if !faults.is_empty() => return Err(Refused::default().with(faults)),
            wanted => wanted.map_err(|refused| refused.with(faults))?,
        };
        let options = plan::Options {
            accept_source_change: true,
            ..plan::Options::default()
        };
        let planned = control::diff(&environment, store.state(), &wanted, &facts, &options);
        let mut plan = planned.map_err(|faults| Refused::default().with(faults))?;
        for pipeline in &mut plan.pipelines {
            let described = outside::describe(&pipeline.record, &self.secrets()).await;
            pipeline.outside = described.expect("what is outside");
        }
        Ok(plan)
    }

    /// Why there is no plan.
    pub(crate) async fn refused(&self, yaml: &str) -> Vec<String> {
        let refused = self.plan(yaml).await.expect_err("no plan");
        assert!(refused.problems.is_empty(), "{:?}", refused.problems);
        refused.faults.iter().map(ToString::to_string).collect()
    }

    pub(crate) async fn apply(&self, plan: &Plan) {
        let who = Who {
            author: "ada".to_owned(),
            ..Who::default()
        };
        let mut hands = Creates(self.secrets());
        let applied = control::apply(self.cluster(), plan, &who, &mut hands).await;
        let applied = applied.expect("it is applied");
        assert!(matches!(applied, Applied::Now(_)), "{applied:?}");
    }

    /// Plans and applies.
    pub(crate) async fn deploy(&self, yaml: &str) -> Plan {
        let plan = self.plan(yaml).await.expect("a plan");
        self.apply(&plan).await;
        plan
    }

    /// Asks for something to be done to a pipeline.
    pub(crate) async fn ask(&self, pipeline: &str, request: Request) {
        let who = Who {
            author: "ada".to_owned(),
            ..Who::default()
        };
        let asked = act(self.cluster(), &environment(ENV), pipeline, request, &who).await;
        asked.expect("it can be asked for");
    }

    /// The values of a topic.
    pub(crate) async fn values(&self, topic: &str) -> Vec<String> {
        let records = consume(self.cluster(), topic).await;
        records
            .into_iter()
            .map(|(_, value)| value.unwrap_or_default())
            .collect()
    }

    /// The same once there are so many, sorted.
    pub(crate) async fn all_values(&self, topic: &str, count: usize) -> Vec<String> {
        let mut values = Vec::new();
        testkit::eventually("the records come", async || {
            values = self.values(topic).await;
            values.len() >= count
        })
        .await;
        values.sort_unstable();
        values
    }

    /// A member of each dead letter.
    pub(crate) async fn dead(&self, pipeline: &str, member: &str) -> Vec<String> {
        let letters = self.values(&format!("{pipeline}.dead")).await;
        let letters = letters.iter().map(|letter| {
            let letter: serde_json::Value = serde_json::from_str(letter).unwrap();
            match &letter[member] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        });
        letters.collect()
    }

    pub(crate) async fn runs(&self, pipeline: &str) -> Vec<Run> {
        let runs = last_runs(self.cluster(), &environment(ENV), Some(pipeline)).await;
        runs.expect("runs").remove(pipeline).unwrap_or_default()
    }

    /// Waits until the last run says something to people, and the log too; gives it.
    pub(crate) async fn told(&self, pipeline: &str, expected: &str) -> Run {
        let mut last = None;
        let mut seen = Vec::new();
        let waited = tokio::time::timeout(testkit::DEADLINE, async {
            loop {
                seen = self.runs(pipeline).await;
                let says = |run: &&Run| {
                    run.error
                        .as_ref()
                        .is_some_and(|error| error.contains(expected))
                };
                let logged = self.logs().await;
                let is_logged = logged.iter().any(|line| line.message.contains(expected));
                if let Some(run) = seen.iter().rev().find(says)
                    && is_logged
                {
                    last = Some(run.clone());
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        if waited.await.is_err() {
            let errors: Vec<_> = seen
                .iter()
                .map(|run| (run.state, run.error.clone()))
                .collect();
            panic!("no run says {expected:?}: {errors:#?}");
        }
        last.expect("a run")
    }

    pub(crate) async fn logs(&self) -> Vec<LogLine> {
        let lines = consume(self.cluster(), "__logs").await;
        let line = |(_, value): (_, Option<String>)| {
            control::record::read(value.unwrap_or_default().as_bytes()).expect("a line")
        };
        lines.into_iter().map(line).collect()
    }

    /// A setting of a topic.
    pub(crate) async fn setting(&self, topic: &str, name: &str) -> String {
        let resource = ConfigResource::Topic(topic.to_owned());
        let entries = describe_configs(self.cluster(), &resource, None, false).await;
        let entries = entries.expect("settings").into_iter();
        let mut of_name = entries.filter(|entry| entry.name == name);
        of_name
            .next()
            .and_then(|entry| entry.value)
            .unwrap_or_default()
    }

    /// The offsets behind the last record of each partition, together.
    pub(crate) async fn end_of(&self, topic: &str) -> i64 {
        let partitions = i32::try_from(self.partitions(topic).await).unwrap();
        let topic: Arc<str> = Arc::from(topic);
        let each = (0..partitions).map(|partition| {
            let topic = Arc::clone(&topic);
            (TopicPartition { topic, partition }, OffsetSpec::Latest)
        });
        let ends = list_offsets(self.cluster(), &each.collect(), Isolation::ReadCommitted).await;
        ends.expect("ends")
            .values()
            .filter_map(|end| end.offset)
            .sum()
    }

    pub(crate) async fn partitions(&self, topic: &str) -> u32 {
        let found = self.cluster().refresh_topic(&Arc::from(topic), false).await;
        found.expect("a topic").partition_count()
    }

    pub(crate) async fn stop(self, worker: Worker) {
        worker.stop().await;
        self.world.stop().await;
    }
}
