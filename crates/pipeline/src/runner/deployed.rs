//! [`Deployed`]: a version of a pipeline, ready to be opened: its query compiled, its inputs with their columns, its tasks.
//!
//! Invariant: all of it follows from the record of the version; nothing is asked of the cluster, so that the same version is the same
//! wherever it runs.

use std::sync::Arc;

use contract::{Column, Contract, ContractError, Format};
use spec::names::{Environment, NoEnvironment};
use spec::{Pipeline, Problem};
use sql::ContractFault;
use sql::compute::{Decoder, Metadata};

use crate::control::record::{PipelineRecord, ResolvedInput};
use crate::engine::{Compiled, Fault, InputTable, Options};
use crate::tasks::{self, Task, TasksError};

/// A version of a pipeline, ready to be opened.
#[derive(Debug)]
pub struct Deployed {
    /// What was applied.
    pub record: Arc<PipelineRecord>,
    /// The environment.
    pub environment: Environment,
    /// What the file said.
    pub pipeline: Pipeline,
    /// The query with its checks.
    pub compiled: Compiled,
    /// The inputs, in their order.
    pub inputs: Vec<Input>,
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// An input with its columns.
#[derive(Clone, Debug)]
pub struct Input {
    /// Which columns say where a row comes from.
    pub metadata: Metadata,
    /// How values are read; without it there are no columns but those.
    pub contract: Option<Contract>,
}

/// Why a version cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum DeployedError {
    /// The name of its environment is none.
    #[error("the environment of the pipeline")]
    Environment(#[from] NoEnvironment),
    /// A later version wrote it.
    #[error(
        "version {version} of the pipeline was written by a later version of Watertable: {problem}"
    )]
    Spec {
        /// The version.
        version: u32,
        /// The first thing that is not known here.
        problem: String,
    },
    /// The columns of an input are not known here.
    #[error(
        "the columns of the input {input} cannot be read: a later version of Watertable wrote them"
    )]
    Columns {
        /// The input.
        input: String,
    },
    /// They are no contract.
    #[error("the contract of the input {input}")]
    Contract {
        /// The input.
        input: String,
        /// What is wrong with it.
        #[source]
        source: Box<ContractError>,
    },
    /// Values cannot be read by a contract.
    #[error("the contract of the input {input}")]
    Decoder {
        /// The input.
        input: String,
        /// What is wrong with it.
        #[source]
        source: ContractFault,
    },
    /// The query does not compile any more.
    #[error("the query does not compile with this version of Watertable: {0}")]
    Query(String),
    /// The tasks.
    #[error(transparent)]
    Tasks(#[from] TasksError),
}

impl Deployed {
    /// Makes a version ready. `memory_bytes_max` is what a batch may take, unless the file says less.
    ///
    /// # Errors
    /// This version of Watertable cannot run it.
    pub fn new(
        record: Arc<PipelineRecord>,
        memory_bytes_max: usize,
    ) -> Result<Self, DeployedError> {
        let environment: Environment = record.env.parse()?;
        let pipeline = record.pipeline().map_err(|problems| DeployedError::Spec {
            version: record.version,
            problem: first(&problems),
        })?;
        let inputs = record.resolved.iter().enumerate();
        let inputs = inputs.map(|(index, resolved)| Input::new(&pipeline, index, resolved));
        let inputs: Vec<Input> = inputs.collect::<Result<_, _>>()?;
        let tables = pipeline.inputs.iter().zip(&inputs);
        let tables: Vec<InputTable> = tables
            .map(|(named, input)| input.table(&named.name))
            .collect();
        let memory = pipeline.resources.memory;
        let memory = memory.and_then(|memory| usize::try_from(memory.0).ok());
        let options = Options {
            memory_bytes_max: memory.unwrap_or(usize::MAX).min(memory_bytes_max),
        };
        let compiled = Compiled::new(&pipeline, &tables, options)
            .map_err(|faults| DeployedError::Query(messages(&faults)))?;
        let tasks = tasks::compile(&pipeline, &environment)?;
        Ok(Self {
            record,
            environment,
            pipeline,
            compiled,
            inputs,
            tasks,
        })
    }

    /// What makes rows of the records of an input: the columns that the query uses, or all where it does not run.
    ///
    /// # Errors
    /// Values cannot be read by the contract.
    pub fn decoder(&self, input: usize, runs_query: bool) -> Result<Decoder, DeployedError> {
        let Some(found) = self.inputs.get(input) else {
            return Err(DeployedError::Columns {
                input: input.to_string(),
            });
        };
        let contract = found.contract.as_ref();
        let decoder = if runs_query {
            self.compiled.decoder(input, found.metadata, contract)
        } else {
            Decoder::new(Metadata::None, contract, |_column| true)
        };
        decoder.map_err(|source| DeployedError::Decoder {
            input: self.input_name(input).to_owned(),
            source,
        })
    }

    /// The declared columns of an input.
    pub fn input_columns(&self, input: usize) -> &[Column] {
        let input = self.inputs.get(input);
        input.map_or(&[], |input| input.columns())
    }

    /// The name of an input.
    pub fn input_name(&self, input: usize) -> &str {
        let input = self.pipeline.inputs.get(input);
        input.map_or("", |input| &input.name)
    }
}

fn first(problems: &[Problem]) -> String {
    problems
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn messages(faults: &[Fault]) -> String {
    let messages: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    messages.join("; ")
}

impl Input {
    fn new(
        pipeline: &Pipeline,
        index: usize,
        resolved: &ResolvedInput,
    ) -> Result<Self, DeployedError> {
        let input = || resolved.name.clone();
        let columns = resolved.columns();
        let columns = columns.ok_or_else(|| DeployedError::Columns { input: input() })?;
        let contract = match &resolved.contract {
            Some(text) => Some(Contract::parse(text)),
            None if columns.is_empty() => None,
            None => Some(Contract::new(Format::Json, columns)),
        };
        let contract = contract
            .transpose()
            .map_err(|source| DeployedError::Contract {
                input: input(),
                source: Box::new(source),
            })?;
        Ok(Self {
            metadata: tasks::metadata(pipeline, index),
            contract,
        })
    }

    /// What it is to the query.
    pub fn table(&self, name: &str) -> InputTable {
        let columns = self.contract.as_ref().map(Contract::columns);
        InputTable {
            name: name.to_owned(),
            columns: columns.unwrap_or_default().to_vec(),
            metadata: self.metadata,
            is_known: true,
        }
    }

    /// Its declared columns.
    pub fn columns(&self) -> &[Column] {
        self.contract.as_ref().map_or(&[], Contract::columns)
    }
}
