//! [`Compiled`]: the query of a pipeline with its checks, ready to run.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::{Column, Contract};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use spec::{Check, Pipeline, Severity, Sink};
use sql::compute::{Decoder, Metadata, arrow_type, input_schema};

use super::bind;
use super::branch::{Branch, branches};
use super::checks::Condition;
use super::constants;
use super::expect;
use super::fault::{Fault, Place};
use super::planner::{self, Tables};
use super::refuse;
use super::words::Words;

/// What an input is to the query.
#[derive(Clone, Debug)]
pub struct InputTable {
    /// Its name.
    pub name: String,
    /// The columns of its contract; none without one.
    pub columns: Vec<Column>,
    /// The columns that say where a row comes from.
    pub metadata: Metadata,
    /// Whether these are all columns; else there may be a contract that only the cluster knows.
    pub is_known: bool,
}

/// How a query runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the rows of one batch may take, in bytes, after each step.
    pub memory_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
        }
    }
}

/// The query of a pipeline with its checks, ready to run. Running changes nothing in it, so that threads can share it.
#[derive(Debug)]
pub struct Compiled {
    pub(super) inputs: Vec<Input>,
    pub(super) branches: Vec<Branch>,
    pub(super) checks: Vec<Condition>,
    /// The severities of all checks of the pipeline, and their reasons.
    pub(super) severities: Vec<(Severity, String)>,
    pub(super) output: Vec<Column>,
    pub(super) output_schema: SchemaRef,
    /// Whether numbers have to be some: JSON has no others.
    pub(super) is_json: bool,
    pub(super) options: Options,
    normalised: String,
}

/// An input, as far as it is used.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: String,
    /// The columns that are used, in the order of the input.
    pub(super) schema: SchemaRef,
    /// The checks of its rows.
    pub(super) checks: Vec<Condition>,
}

impl Compiled {
    /// Compiles the query of a pipeline over its inputs.
    ///
    /// # Errors
    /// All that is wrong with it, as far as it can be told together.
    pub fn new(
        pipeline: &Pipeline,
        inputs: &[InputTable],
        options: Options,
    ) -> Result<Self, Vec<Fault>> {
        let start = |error: &_| vec![Fault::of_planning(error, "", Some(Place::Sql(0)))];
        let state = planner::state().map_err(|error| start(&error))?;
        let compiling = Compiling {
            pipeline,
            inputs,
            schemas: inputs
                .iter()
                .map(|input| input_schema(input.metadata, &input.columns))
                .collect(),
            state,
        };
        let compiled = compiling.compile(options);
        compiled.map_err(|faults| compiling.with_unknown(faults))
    }

    /// The columns of the result.
    pub fn output(&self) -> &[Column] {
        &self.output
    }

    /// The columns of the batches that [`Compiled::run`] gives.
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output_schema)
    }

    /// For each input the columns that the query and the checks use, with their types. Batches need no others.
    pub fn input_columns_used(&self) -> Vec<SchemaRef> {
        let schemas = self.inputs.iter().map(|input| &input.schema);
        schemas.map(Arc::clone).collect()
    }

    /// What makes rows of the records of an input, with the columns that are used.
    ///
    /// # Errors
    /// Values cannot be read by the contract.
    pub fn decoder(
        &self,
        input: usize,
        metadata: Metadata,
        contract: Option<&Contract>,
    ) -> Result<Decoder, sql::ContractFault> {
        let schema = self.inputs.get(input).map(|input| &input.schema);
        let is_used =
            |name: &str| schema.is_some_and(|schema| schema.column_with_name(name).is_some());
        Decoder::new(metadata, contract, is_used)
    }

    /// The query as a plan with types, as text. Another layout, other comments and brackets that mean nothing give the same text.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }
}

struct Compiling<'a> {
    pipeline: &'a Pipeline,
    inputs: &'a [InputTable],
    schemas: Vec<SchemaRef>,
    state: &'a SessionState,
}

impl Compiling<'_> {
    fn compile(&self, options: Options) -> Result<Compiled, Vec<Fault>> {
        let sql = self.pipeline.sql.as_str();
        let fault = |error| vec![Fault::of_planning(&error, sql, None)];
        let tables = self.tables();
        let mut statement = sql::compute::parse(self.state, sql).map_err(fault)?;
        let refused = refuse::refusals(&statement, sql, self.state);
        if !refused.is_empty() {
            return Err(refused);
        }
        bind::bind(&mut statement, &self.pipeline.params);
        bind::leave_out(&mut statement, self.inputs);
        let plan = tables.analysed(statement).map_err(fault)?;
        if let Some(name) = planner::volatile(&plan).map_err(fault)? {
            let message = format!("{name} gives something else each time it is asked");
            return Err(vec![Fault::new(Place::Sql(0), message)]);
        }
        let output = expect::output(&plan, sql);
        let normalised = plan.display_indent().to_string();
        self.admit_constants(&plan)?;
        let plan = tables.optimised(plan).map_err(fault)?;
        // Those too that are made of others.
        self.admit_constants(&plan)?;
        let names: Vec<_> = self
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        let branches = branches(&plan, &names, self.state).map_err(fault)?;
        let output = output?;
        let output_schema = output_schema(&output);
        let mut faults = expect::sink(&self.pipeline.sink, &output);
        let checks = self.checks(&tables, &output_schema, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let (inputs, branches) = self.used(&checks, branches).map_err(fault)?;
        let of_output = checks.iter().filter(|checked| checked.input.is_none());
        let output_columns = DFSchema::try_from(Arc::clone(&output_schema)).map_err(fault)?;
        let of_output = of_output.map(|checked| self.condition(checked, &output_columns));
        let severities = self.pipeline.checks.iter();
        Ok(Compiled {
            inputs,
            branches,
            checks: of_output.collect::<Result<_>>().map_err(fault)?,
            severities: severities
                .map(|check| (check.severity, check.reason.clone()))
                .collect(),
            output,
            output_schema,
            is_json: matches!(self.pipeline.sink, Sink::Topic(_)),
            options,
            normalised,
        })
    }

    fn admit_constants(&self, plan: &LogicalPlan) -> Result<(), Vec<Fault>> {
        let sql = self.pipeline.sql.as_str();
        let found = constants::of_plan(plan);
        let found = found.map_err(|error| vec![Fault::of_planning(&error, sql, None)])?;
        let Some(wrong) = found else {
            return Ok(());
        };
        let place = Place::Sql(Words::of(sql).literal(&wrong.text));
        Err(vec![Fault::new(place, wrong.message).hint(wrong.hint)])
    }

    /// All checks as expressions over the columns that they are about.
    fn checks(
        &self,
        tables: &Tables<'_>,
        output: &SchemaRef,
        faults: &mut Vec<Fault>,
    ) -> Vec<Checked> {
        let mut checks = Vec::new();
        for (index, check) in self.pipeline.checks.iter().enumerate() {
            let of = check.of.as_ref();
            let input = of.and_then(|of| self.inputs.iter().position(|input| input.name == *of));
            let schema = match input {
                Some(input) => self.schemas.get(input).unwrap_or(output),
                None => output,
            };
            match self.expression(tables, index, check, schema) {
                Ok(expr) => checks.push(Checked { index, input, expr }),
                Err(found) => faults.extend(found),
            }
        }
        checks
    }

    fn expression(
        &self,
        tables: &Tables<'_>,
        index: usize,
        check: &Check,
        schema: &SchemaRef,
    ) -> Result<Expr, Vec<Fault>> {
        let place = || Place::Check(index);
        let fault = |error| vec![Fault::of_planning(&error, "", Some(place()))];
        if let spec::Condition::Column { column, .. } = &check.condition {
            expect::column(column, schema, place()).map_err(|fault| vec![fault])?;
        }
        let text = spec::condition(check);
        let mut expr = sql::compute::parse_expression(self.state, &text).map_err(fault)?;
        let refused = refuse::refusals_in_check(&expr, index, self.state);
        if !refused.is_empty() {
            return Err(refused);
        }
        bind::bind(&mut expr, &self.pipeline.params);
        let columns = DFSchema::try_from(Arc::clone(schema)).map_err(fault)?;
        let expr = tables.expression(expr, &columns).map_err(fault)?;
        if let Some(wrong) = constants::of_expression(&expr).map_err(fault)? {
            return Err(vec![Fault::new(place(), wrong.message).hint(wrong.hint)]);
        }
        let physical = self.state.create_physical_expr(expr.clone(), &columns);
        let physical = physical.map_err(fault)?;
        let found = physical.data_type(schema).map_err(fault)?;
        if !matches!(found, DataType::Boolean | DataType::Null) {
            let message = format!(
                "this is no condition: it gives {}",
                expect::type_name(&found)
            );
            let hint = "write a comparison, as amount >= 0";
            return Err(vec![Fault::new(place(), message).hint(hint)]);
        }
        Ok(expr)
    }

    fn condition(&self, checked: &Checked, columns: &DFSchema) -> Result<Condition> {
        let check = &self.pipeline.checks[checked.index];
        Ok(Condition {
            check: checked.index,
            severity: check.severity,
            text: spec::condition(check),
            expr: self
                .state
                .create_physical_expr(checked.expr.clone(), columns)?,
        })
    }

    /// The inputs with the columns that are used alone, and the branches over them.
    fn used(
        &self,
        checks: &[Checked],
        mut branches: Vec<Branch>,
    ) -> Result<(Vec<Input>, Vec<Branch>)> {
        let mut inputs = Vec::new();
        for (index, (table, schema)) in self.inputs.iter().zip(&self.schemas).enumerate() {
            let mut used: BTreeSet<usize> = BTreeSet::new();
            let of_branches = branches.iter().filter(|branch| branch.input == index);
            used.extend(of_branches.flat_map(|branch| &branch.columns));
            let of_input = || checks.iter().filter(|checked| checked.input == Some(index));
            for checked in of_input() {
                let columns = checked.expr.column_refs();
                used.extend(
                    columns
                        .iter()
                        .filter_map(|column| schema.index_of(&column.name).ok()),
                );
            }
            let places: Vec<_> = used.iter().copied().collect();
            for branch in branches.iter_mut().filter(|branch| branch.input == index) {
                for column in &mut branch.columns {
                    *column = places.binary_search(column).unwrap_or_default();
                }
            }
            let schema = Arc::new(schema.project(&places)?);
            let columns = DFSchema::try_from(Arc::clone(&schema))?;
            let conditions = of_input().map(|checked| self.condition(checked, &columns));
            inputs.push(Input {
                name: table.name.clone(),
                schema,
                checks: conditions.collect::<Result<_>>()?,
            });
        }
        Ok((inputs, branches))
    }

    /// A column that is not there may be one of a contract that is not known here.
    fn with_unknown(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        let Some(unknown) = self.inputs.iter().find(|input| !input.is_known) else {
            return faults;
        };
        for fault in &mut faults {
            let is_of_column = fault.message.starts_with("there is no column ")
                || fault.message.starts_with(expect::NO_COLUMNS);
            if is_of_column {
                let name = unknown.name.clone();
                fault.hint = Some(format!(
                    "the contract of {name} is not known here; write its columns under from.{name}.columns"
                ));
                fault.unknown = Some(name);
            }
        }
        faults
    }

    fn tables(&self) -> Tables<'_> {
        let names = self.inputs.iter().map(|input| input.name.as_str());
        Tables {
            state: self.state,
            inputs: names.zip(self.schemas.iter().cloned()).collect(),
        }
    }
}

/// A check as an expression.
struct Checked {
    index: usize,
    /// The input whose rows it is about; those of the result without one.
    input: Option<usize>,
    expr: Expr,
}

/// The columns as they are written. Any of them may be NULL: what cannot be is for whoever writes them to refuse.
fn output_schema(output: &[Column]) -> SchemaRef {
    let fields = output
        .iter()
        .map(|column| Field::new(&column.name, arrow_type(column.data_type), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
