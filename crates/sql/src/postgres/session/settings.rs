//! SET, RESET and SHOW, and what settings do to the engine.

use datafusion::common::config::ConfigOptions;

use super::super::backend;
use super::super::error::{PgError, state};
use super::super::rows::Source;
use super::super::settings::{self, ENGINE_PREFIX};
use super::Session;

/// What the engine was told last.
#[derive(Debug, Default)]
pub(super) struct Applied {
    zone: String,
    path: String,
}

impl Session {
    /// Changes a setting, or takes it back to its default; the engine and the client are told if it concerns them.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), PgError> {
        let key = name.to_ascii_lowercase();
        if key.starts_with(ENGINE_PREFIX) {
            self.set_engine(&key, value)?;
        }
        let reported = self.settings.lock().set(name, value)?;
        self.apply_settings()?;
        if let Some(reported) = reported {
            let settings = self.settings.lock();
            let now = settings.get(name).unwrap_or_default();
            backend::parameter_status(&mut self.wire.output, reported, now);
        }
        Ok(())
    }

    /// Tells the engine of settings that concern it. A function may have set them, too.
    pub(super) fn apply_settings(&mut self) -> Result<(), PgError> {
        let settings = self.settings.lock();
        let zone = settings.get("timezone").unwrap_or_default().to_owned();
        let path = settings.get("search_path").unwrap_or_default().to_owned();
        drop(settings);
        if self.applied.zone != zone {
            set_option(&self.context, "datafusion.execution.time_zone", &zone)?;
            self.applied.zone = zone;
        }
        if self.applied.path != path {
            self.search(&path)?;
            self.applied.path = path;
        }
        Ok(())
    }

    fn set_engine(&self, key: &str, value: Option<&str>) -> Result<(), PgError> {
        let default = engine_option(&self.pristine, key).ok_or_else(|| settings::unknown(key))?;
        let value = value.map(str::to_owned).or(default).unwrap_or_default();
        // PostgreSQL's words for the engine's.
        let value = match value.to_ascii_lowercase().as_str() {
            "on" | "yes" => "true".to_owned(),
            "off" | "no" => "false".to_owned(),
            _ => value,
        };
        set_option(&self.context, key, &value)
    }

    /// The first schema of the path that there is takes unqualified names.
    fn search(&self, path: &str) -> Result<(), PgError> {
        let options = self.pristine.catalog.clone();
        let catalog = self.context.catalog(&options.default_catalog);
        let wanted = path.split(',').map(|name| name.trim().trim_matches('"'));
        let found = wanted.into_iter().find(|name| {
            catalog
                .as_ref()
                .is_some_and(|catalog| catalog.schema(name).is_some())
        });
        set_option(
            &self.context,
            "datafusion.catalog.default_schema",
            found.unwrap_or(&options.default_schema),
        )
    }

    pub(super) fn reset_all(&mut self) -> Result<(), PgError> {
        let names: Vec<String> = self
            .settings
            .lock()
            .changed()
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            self.set(&name, None)?;
        }
        Ok(())
    }

    pub(super) fn show(&self, name: &str) -> Result<Source, PgError> {
        let settings = self.settings.lock();
        let value = settings.get(name).map(str::to_owned);
        let engine = || {
            let state = self.context.state();
            engine_option(state.config_options(), &name.to_ascii_lowercase()).flatten()
        };
        let value = value
            .or_else(engine)
            .ok_or_else(|| settings::unknown(name))?;
        let column = settings::reported_name(name).unwrap_or(name);
        Source::of_text(&[column], &[vec![&value]])
    }

    pub(super) fn show_all(&self) -> Result<Source, PgError> {
        let settings = self.settings.lock();
        let rows: Vec<Vec<&str>> = settings
            .all()
            .into_iter()
            .map(|(name, value)| vec![name, value, ""])
            .collect();
        Source::of_text(&["name", "setting", "description"], &rows)
    }
}

fn set_option(
    context: &datafusion::prelude::SessionContext,
    key: &str,
    value: &str,
) -> Result<(), PgError> {
    let state = context.state_ref();
    let mut state = state.write();
    let outcome = state.config_mut().options_mut().set(key, value);
    outcome.map_err(|error| PgError::new(state::INVALID_PARAMETER_VALUE, error.strip_backtrace()))
}

/// The value of one of the engine's own options, if there is one of this name; such options are listed without their prefix.
fn engine_option(options: &ConfigOptions, key: &str) -> Option<Option<String>> {
    let name = key.strip_prefix(ENGINE_PREFIX)?;
    let entry = options
        .entries()
        .into_iter()
        .find(|entry| entry.key == name)?;
    Some(entry.value)
}
