//! TLS, with certificates made for the test.

use std::path::PathBuf;
use std::process::Command;

use connectors::postgres::Kind;

use super::*;
use crate::support::server::run;

/// An authority, and the certificate of a server that it signed, for `localhost`.
fn certificates(folder: &std::path::Path) -> PathBuf {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(folder);
        run(&mut command);
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names",
    );
    folder.join("ca.crt")
}

#[tokio::test]
async fn each_mode_asks_what_it_says() {
    let files = tempfile::tempdir().unwrap();
    let authority = certificates(files.path());
    let other = tempfile::tempdir().unwrap();
    let stranger = certificates(other.path());
    let server = Server::own(&[]).await;
    for (name, mode) in [("server.crt", "644"), ("server.key", "600")] {
        let file = server.folder().join("data").join(name);
        std::fs::copy(files.path().join(name), &file).unwrap();
        run(Command::new("chmod").arg(mode).arg(&file));
        // To the account that the server runs as.
        run(Command::new("chown")
            .arg("--reference")
            .arg(server.folder())
            .arg(&file));
    }
    let database = Database::of(Arc::clone(&server)).await;
    database.run("ALTER SYSTEM SET ssl = on").await;
    database.run("SELECT pg_reload_conf()").await;
    let connect = async |host: &str, tls: &str| {
        let address = format!(
            "host={host} hostaddr=127.0.0.1 port={} user=postgres dbname={} {tls}",
            server.port(),
            database.name()
        );
        let spec = append("people");
        let mut sink = Sink::connect(&address, &spec, &people(), task()).await?;
        sink.prepare(false).await?;
        Ok::<_, SinkError>(sink)
    };
    testkit::eventually("the server speaks TLS", async || {
        connect("localhost", "sslmode=require").await.is_ok()
    })
    .await;
    let ours = format!("sslrootcert={}", authority.display());
    let theirs = format!("sslrootcert={}", stranger.display());
    for (host, tls, is_fine) in [
        ("localhost", "sslmode=disable".to_owned(), true),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("whoever", "sslmode=require".to_owned(), true),
        ("whoever", format!("sslmode=verify-ca {ours}"), true),
        ("localhost", format!("sslmode=verify-full {ours}"), true),
        ("localhost", format!("sslmode=require {theirs}"), false),
        ("localhost", format!("sslmode=verify-ca {theirs}"), false),
        ("whoever", format!("sslmode=verify-full {ours}"), false),
        ("localhost", "sslmode=verify-full".to_owned(), false),
        (
            "localhost",
            "sslmode=verify-full sslrootcert=/nowhere.crt".to_owned(),
            false,
        ),
    ] {
        match connect(host, &tls).await {
            Ok(sink) => {
                assert!(is_fine, "{host} {tls}");
                let lines = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'watertable: %'";
                let expected = if tls.contains("disable") { "f" } else { "t" };
                assert_eq!(database.rows(lines).await, [expected], "{tls}");
                drop(sink);
                let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'watertable: %'";
                testkit::eventually("the session ends", async || {
                    database.rows(gone).await == ["0"]
                })
                .await;
            }
            Err(error) => {
                assert!(!is_fine, "{host} {tls}: {error}");
                assert_eq!(error.kind(), Kind::Hold, "{error}");
            }
        }
    }
}
