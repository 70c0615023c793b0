//! Error codes and APIs as text; `xtask/oracle/RecordOracle.java` prints Kafka's.
use protocol::{ApiKey, ErrorCode};

pub(crate) fn print() {
    for error in ErrorCode::ALL {
        println!(
            "error {} {} {}",
            error.code(),
            error.name(),
            error.retriable()
        );
    }
    for key in ApiKey::ALL {
        let versions = key.decodable_versions();
        let headers: String = versions
            .clone()
            .map(|version| {
                format!(
                    " {}/{}",
                    key.request_header_version(version),
                    key.response_header_version(version)
                )
            })
            .collect();
        println!(
            "api {} {} {} {}{headers}",
            i16::from(*key),
            key.name(),
            versions.start(),
            versions.end()
        );
    }
}
