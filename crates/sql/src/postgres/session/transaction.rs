//! Transaction blocks. Queries have each its own snapshot; what a block decides is whether what was written counts, whether
//! statements are taken after an error, how long portals live, and which settings stay.
//!
//! Invariant: the status that clients are told is the one that decides.

use super::super::backend::{self, TransactionStatus};
use super::super::error::{PgError, state};
use super::super::settings::Settings;
use super::Session;

/// The block that is open, if one is.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    block: Option<Block>,
    is_failed: bool,
}

#[derive(Debug)]
struct Block {
    /// As they were before it.
    settings: Settings,
    /// Settings that were set for the block only.
    local: Vec<String>,
    /// With how many records had been written then.
    savepoints: Vec<(String, u64)>,
    /// A statement failed while it wrote, and what was written before it is gone, too.
    is_lost: bool,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match (&self.block, self.is_failed) {
            (None, _) => TransactionStatus::Idle,
            (Some(_), false) => TransactionStatus::Open,
            (Some(_), true) => TransactionStatus::Failed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.block.is_some()
    }

    pub(super) fn fail(&mut self) {
        self.is_failed = self.is_open();
    }

    /// An error if only the end of the block is taken.
    pub(super) fn check(&self) -> Result<(), PgError> {
        if self.status() == TransactionStatus::Failed {
            let message =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::new(state::IN_FAILED_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    /// A setting that the end of the block takes back.
    pub(super) fn set_local(&mut self, name: &str) {
        if let Some(block) = &mut self.block {
            block.local.push(name.to_ascii_lowercase());
        }
    }

    /// What was written in the block will not count.
    pub(super) fn lose_writes(&mut self) {
        if let Some(block) = &mut self.block {
            block.is_lost = true;
        }
    }

    fn block(&mut self, what: &str) -> Result<&mut Block, PgError> {
        self.block.as_mut().ok_or_else(|| {
            let message = format!("{what} can only be used in transaction blocks");
            PgError::new(state::NO_ACTIVE_SQL_TRANSACTION, message)
        })
    }

    fn savepoint(&mut self, what: &str, name: &str) -> Result<(&mut Block, usize), PgError> {
        let block = self.block(what)?;
        let place = block
            .savepoints
            .iter()
            .rposition(|(savepoint, _)| savepoint == name);
        match place {
            Some(place) => Ok((block, place)),
            None => Err(PgError::new(
                "3B001",
                format!("savepoint \"{name}\" does not exist"),
            )),
        }
    }
}

/// Each is a name, and the client sends as many as it likes.
const SAVEPOINTS_MAX: usize = 1000;

impl Session {
    pub(super) fn begin(&mut self) -> &'static str {
        if self.transaction.is_open() {
            let warning = PgError::warning(
                state::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            );
            backend::notice(&mut self.wire.output, &warning);
        } else {
            self.transaction.block = Some(Block {
                settings: self.settings.lock().clone(),
                local: Vec::new(),
                savepoints: Vec::new(),
                is_lost: false,
            });
        }
        "BEGIN"
    }

    /// A COMMIT of a failed block is a ROLLBACK, as its tag says.
    pub(super) async fn commit(&mut self) -> Result<&'static str, PgError> {
        if self.transaction.is_failed {
            return self.rollback().await;
        }
        if let Err(error) = self.commit_writes().await {
            self.rollback().await?;
            return Err(error);
        }
        match self.transaction.block.take() {
            Some(block) => self.put_back(&block.settings, &block.local)?,
            None => self.warn_of_no_block(),
        }
        self.portals.retain(|_, portal| portal.is_held);
        Ok("COMMIT")
    }

    pub(super) async fn rollback(&mut self) -> Result<&'static str, PgError> {
        self.abort_writes().await;
        self.transaction.is_failed = false;
        match self.transaction.block.take() {
            Some(block) => {
                let changed = self.settings.lock().differing(&block.settings);
                self.put_back(&block.settings, &changed)?;
            }
            None => self.warn_of_no_block(),
        }
        self.portals.retain(|_, portal| portal.is_held);
        Ok("ROLLBACK")
    }

    fn warn_of_no_block(&mut self) {
        let warning = PgError::warning(
            state::NO_ACTIVE_SQL_TRANSACTION,
            "there is no transaction in progress",
        );
        backend::notice(&mut self.wire.output, &warning);
    }

    fn put_back(&mut self, before: &Settings, names: &[String]) -> Result<(), PgError> {
        let before_values: std::collections::BTreeMap<&str, &str> = before.changed().collect();
        for name in names {
            self.set(name, before_values.get(name.as_str()).copied())?;
        }
        Ok(())
    }

    pub(super) fn savepoint(&mut self, name: String) -> Result<&'static str, PgError> {
        let written = self.written();
        let block = self.transaction.block("SAVEPOINT")?;
        if block.savepoints.len() == SAVEPOINTS_MAX {
            return Err(PgError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                "too many savepoints",
            ));
        }
        block.savepoints.push((name, written));
        Ok("SAVEPOINT")
    }

    pub(super) fn rollback_to(&mut self, name: &str) -> Result<&'static str, PgError> {
        let written = self.written();
        let (block, place) = self.transaction.savepoint("ROLLBACK TO SAVEPOINT", name)?;
        if block.is_lost || block.savepoints[place].1 != written {
            return Err(PgError::unsupported(
                "records that were written after a savepoint cannot be taken back alone",
                "ROLLBACK takes back all of the block.",
            ));
        }
        block.savepoints.truncate(place + 1);
        self.transaction.is_failed = false;
        Ok("ROLLBACK")
    }

    pub(super) fn release(&mut self, name: &str) -> Result<&'static str, PgError> {
        let (block, place) = self.transaction.savepoint("RELEASE SAVEPOINT", name)?;
        block.savepoints.truncate(place);
        Ok("RELEASE")
    }
}
