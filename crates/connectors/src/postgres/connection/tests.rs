use super::*;

fn error(text: &str) -> ConnectionError {
    Address::parse(text).unwrap_err()
}

#[test]
fn urls_and_pairs_say_the_same() {
    for text in [
        "postgres://me:p%40ss%20w@db.example:5433/shop?sslmode=verify-full&options=-c%20x%3D1",
        "host=db.example port=5433 user = me password='p@ss w' dbname=shop sslmode=verify-full options='-c x=1'",
    ] {
        let address = Address::parse(text).unwrap();
        assert_eq!(address.to_string(), "db.example:5433/shop");
        assert_eq!(address.config.get_password(), Some(&b"p@ss w"[..]));
        assert_eq!(address.config.get_options(), Some("-c x=1"));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(address.trust, Trust::Host(None));
        assert_eq!(address.config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        assert_eq!(address.config.get_keepalives_idle(), KEEPALIVE_IDLE);
    }
    let address = Address::parse("host=a connect_timeout=3 keepalives_count=7 password='it''s'");
    assert_eq!(address.unwrap_err(), ConnectionError::Form);
    let address =
        Address::parse("host=a connect_timeout=3 keepalives_count=7 password=it\\'s").unwrap();
    assert_eq!(address.config.get_password(), Some(&b"it's"[..]));
    assert_eq!(address.config.get_keepalives_retries(), Some(7));
    assert_eq!(
        address.config.get_connect_timeout(),
        Some(&Duration::from_secs(3))
    );
}

#[test]
fn modes_of_tls_mean_what_they_mean_to_libpq() {
    let file = || PathBuf::from("/ca.pem");
    for (text, mode, trust) in [
        ("", SslMode::Prefer, Trust::Anything),
        ("sslmode=disable", SslMode::Disable, Trust::Anything),
        (
            "sslmode=prefer sslrootcert=/ca.pem",
            SslMode::Prefer,
            Trust::Anything,
        ),
        ("sslmode=require", SslMode::Require, Trust::Anything),
        (
            "sslmode=require sslrootcert=/ca.pem",
            SslMode::Require,
            Trust::Authority(file()),
        ),
        (
            "sslmode=verify-ca sslrootcert=/ca.pem",
            SslMode::Require,
            Trust::Authority(file()),
        ),
        (
            "sslmode=verify-full sslrootcert=/ca.pem",
            SslMode::Require,
            Trust::Host(Some(file())),
        ),
        (
            "sslmode=verify-full sslrootcert=system",
            SslMode::Require,
            Trust::Host(None),
        ),
    ] {
        let address = Address::parse(&format!("host=db {text}")).unwrap();
        assert_eq!(
            (address.config.get_ssl_mode(), address.trust),
            (mode, trust),
            "{text}"
        );
    }
    assert_eq!(error("host=db sslmode=verify-ca"), ConnectionError::NoRoot);
    assert_eq!(
        error("host=db sslmode=require sslrootcert=system"),
        ConnectionError::SystemNeedsFull
    );
    assert_eq!(error("host=db sslmode=allow"), ConnectionError::Allow);
    // Sockets of the machine have no TLS.
    let local = Address::parse("host=/run/postgresql sslmode=require").unwrap();
    assert_eq!(local.config.get_ssl_mode(), SslMode::Disable);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    assert_eq!(
        error("host=db sslcert=/a"),
        ConnectionError::Unsupported("sslcert")
    );
    assert_eq!(
        error("postgres://db?passfile=/a"),
        ConnectionError::Unsupported("passfile")
    );
    assert_eq!(error("host=db port=many"), ConnectionError::Value("port"));
    assert_eq!(error("user=me"), ConnectionError::NoHost);
}

#[test]
fn no_error_and_no_debug_has_anything_of_a_password() {
    for text in [
        "host=db password=hunter2 hunter3=x",
        "host=db password=a hunter2",
        "host=db password='hunter2",
        "hunter2",
        "postgres://me:pa@hunter2@db/x",
        "postgres://me:hunter2@db:port/x",
        "postgres://me:pass?hunter2@db/x",
        "postgres://me:hunter2@db/x?sslmode=hunter2",
        "host=db password=%hunter2 port=hunter2",
    ] {
        let error = error(text);
        let said = format!("{error} {error:?}");
        assert!(!said.contains("hunter"), "{said}");
    }
    let address = Address::parse("postgres://me:hunter2@db/shop?options=hunter2").unwrap();
    let shown = format!("{address} {address:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
