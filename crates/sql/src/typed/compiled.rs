//! [`Compiled`]: a contract, with the schema of its format read.

use contract::{Contract, Format};

/// A contract that values can be read by.
#[derive(Debug)]
pub(crate) struct Compiled {
    contract: Contract,
}

/// Why values cannot be read by a contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the contract cannot be used: {0}")]
pub struct ContractFault(pub(super) String);

impl Compiled {
    /// # Errors
    /// The schema in the contract is none, or has not what the columns need.
    pub(crate) fn new(contract: Contract) -> Result<Self, ContractFault> {
        match contract.format() {
            Format::Json | Format::NdJson | Format::Csv { .. } => {}
            other => {
                return Err(ContractFault(format!(
                    "{} cannot be read yet",
                    other.name()
                )));
            }
        }
        Ok(Self { contract })
    }

    pub(crate) const fn contract(&self) -> &Contract {
        &self.contract
    }
}
