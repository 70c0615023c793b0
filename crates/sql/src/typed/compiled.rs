//! [`Compiled`]: a contract, with the schema of its format read.

use std::fmt;
use std::sync::Arc;

use contract::{Contract, Format, nearest};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::avro_schema::Schema as AvroSchema;

/// A contract that values can be read by.
#[derive(Debug)]
pub(crate) struct Compiled {
    contract: Contract,
    schema: Schema,
}

/// What a format needs to know beside the columns.
#[derive(Debug)]
pub(super) enum Schema {
    None,
    Avro(Arc<AvroSchema>),
    Protobuf(MessageDescriptor),
}

/// Why values cannot be read by a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contract cannot be used: {0}")]
pub struct ContractFault(pub(super) String);

impl ContractFault {
    pub(super) fn of(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// Looks whether values can be read by a contract: what a contract says of itself it was read for, but not whether the schema
/// of its format is one and has what the columns need.
///
/// # Errors
/// They cannot.
pub fn check_contract(contract: &Contract) -> Result<(), ContractFault> {
    Compiled::new(contract.clone()).map(drop)
}

impl Compiled {
    /// # Errors
    /// The schema in the contract is none, or has not what the columns need.
    pub(crate) fn new(contract: Contract) -> Result<Self, ContractFault> {
        let schema = match contract.format() {
            Format::Json | Format::NdJson | Format::Csv { .. } => Schema::None,
            Format::Avro { schema } => Schema::Avro(Arc::new(AvroSchema::parse(schema)?)),
            Format::Protobuf {
                descriptors,
                message,
            } => {
                let message = descriptor(descriptors, message)?;
                check_fields(&contract, &message)?;
                Schema::Protobuf(message)
            }
        };
        Ok(Self { contract, schema })
    }

    pub(crate) const fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(super) const fn schema(&self) -> &Schema {
        &self.schema
    }
}

fn descriptor(descriptors: &[u8], name: &str) -> Result<MessageDescriptor, ContractFault> {
    let pool = DescriptorPool::decode(descriptors).map_err(ContractFault::of)?;
    if let Some(found) = pool.get_message_by_name(name) {
        return Ok(found);
    }
    let names: Vec<_> = pool.all_messages().collect();
    let nearest = nearest(name, names.iter().map(MessageDescriptor::full_name));
    Err(ContractFault::of(match nearest {
        Some(nearest) => format!("there is no message \"{name}\"; did you mean \"{nearest}\"?"),
        None => format!("there is no message \"{name}\""),
    }))
}

fn check_fields(contract: &Contract, message: &MessageDescriptor) -> Result<(), ContractFault> {
    let fields: Vec<_> = message.fields().collect();
    for column in contract.columns() {
        if message.get_field_by_name(&column.name).is_some() {
            continue;
        }
        let nearest = nearest(&column.name, fields.iter().map(|field| field.name()));
        let meant = nearest.map_or_else(String::new, |nearest| {
            format!("; did you mean \"{nearest}\"?")
        });
        let (message, name) = (message.full_name(), &column.name);
        return Err(ContractFault::of(format!(
            "message {message} has no field \"{name}\"{meant}"
        )));
    }
    Ok(())
}
