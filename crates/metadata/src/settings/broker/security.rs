//! TLS, SASL, authorization and delegation tokens.

use super::super::definition::{
    Allowed, Setting, boolean, class, double, int, list, long, password, short, string,
};

pub(super) static SETTINGS: &[Setting] = &[
    boolean("allow.everyone.if.no.acl.found")
        .default("false")
        .doc("Whether what no access rule names is allowed to everybody."),
    string("authorizer.class.name")
        .default("")
        .default_only()
        .doc("What decides who may do what; empty is everybody everything."),
    int("connection.failed.authentication.delay.ms")
        .default("100")
        .at_least(0)
        .doc("Milliseconds for which the answer to a failed authentication is held back."),
    long("connections.max.reauth.ms")
        .default("0")
        .doc("Milliseconds after which a SASL client must authenticate again; 0 is never."),
    long("delegation.token.expiry.check.interval.ms")
        .default("3600000")
        .at_least(1)
        .doc("Milliseconds between two removals of expired delegation tokens."),
    long("delegation.token.expiry.time.ms")
        .default("86400000")
        .at_least(1)
        .doc("Milliseconds until a delegation token must be renewed."),
    long("delegation.token.max.lifetime.ms")
        .default("604800000")
        .at_least(1)
        .doc("Milliseconds after which a delegation token cannot be renewed."),
    password("delegation.token.secret.key")
        .default_only()
        .doc("The key with which delegation tokens are made and checked."),
    class("principal.builder.class")
        .default("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder")
        .default_only()
        .per_broker()
        .doc("A Java class that tells who a connection is."),
    class("sasl.client.callback.handler.class")
        .doc("A Java class that answers a SASL client's questions."),
    list("sasl.enabled.mechanisms")
        .default("GSSAPI")
        .per_broker()
        .doc("The SASL mechanisms clients may use."),
    password("sasl.jaas.config")
        .per_broker()
        .doc("The login of the broker in Java's form."),
    string("sasl.kerberos.kinit.cmd")
        .default("/usr/bin/kinit")
        .per_broker()
        .doc("The command that gets Kerberos tickets."),
    long("sasl.kerberos.min.time.before.relogin")
        .default("60000")
        .per_broker()
        .doc("Milliseconds between two renewals of a Kerberos login."),
    list("sasl.kerberos.principal.to.local.rules")
        .default("DEFAULT")
        .per_broker()
        .doc("Rules that turn Kerberos principals into short names."),
    string("sasl.kerberos.service.name")
        .per_broker()
        .doc("The Kerberos name of the broker."),
    double("sasl.kerberos.ticket.renew.jitter")
        .default("0.05")
        .per_broker()
        .doc("How much the time of a ticket's renewal varies."),
    double("sasl.kerberos.ticket.renew.window.factor")
        .default("0.8")
        .per_broker()
        .doc("The share of a ticket's life after which it is renewed."),
    class("sasl.login.callback.handler.class")
        .doc("A Java class that answers a login's questions."),
    class("sasl.login.class").doc("A Java class that logs in."),
    int("sasl.login.connect.timeout.ms")
        .doc("Milliseconds after which a connection to the token server fails."),
    int("sasl.login.read.timeout.ms")
        .doc("Milliseconds after which a read from the token server fails."),
    short("sasl.login.refresh.buffer.seconds")
        .default("300")
        .per_broker()
        .doc("Seconds before its expiry by which a credential is renewed."),
    short("sasl.login.refresh.min.period.seconds")
        .default("60")
        .per_broker()
        .doc("Seconds between two renewals of a credential."),
    double("sasl.login.refresh.window.factor")
        .default("0.8")
        .per_broker()
        .doc("The share of a credential's life after which it is renewed."),
    double("sasl.login.refresh.window.jitter")
        .default("0.05")
        .per_broker()
        .doc("How much the time of a credential's renewal varies."),
    long("sasl.login.retry.backoff.max.ms")
        .default("10000")
        .doc("The longest pause before a login is tried again, in milliseconds."),
    long("sasl.login.retry.backoff.ms")
        .default("100")
        .doc("The first pause before a login is tried again, in milliseconds."),
    string("sasl.mechanism.controller.protocol")
        .default("GSSAPI")
        .doc("The SASL mechanism towards controllers."),
    string("sasl.mechanism.inter.broker.protocol")
        .default("GSSAPI")
        .per_broker()
        .doc("The SASL mechanism among brokers."),
    string("sasl.oauthbearer.assertion.algorithm")
        .default("RS256")
        .allowed(Allowed::OneOfAnyCase(&["ES256", "RS256"]))
        .doc("How the broker signs its assertions to the token server."),
    string("sasl.oauthbearer.assertion.claim.aud").doc("The audience of its assertions."),
    int("sasl.oauthbearer.assertion.claim.exp.seconds")
        .default("300")
        .between(0, 86400)
        .doc("Seconds for which its assertions are valid."),
    string("sasl.oauthbearer.assertion.claim.iss").doc("The issuer of its assertions."),
    boolean("sasl.oauthbearer.assertion.claim.jti.include")
        .default("false")
        .doc("Whether its assertions carry an id."),
    int("sasl.oauthbearer.assertion.claim.nbf.seconds")
        .default("60")
        .between(0, 3600)
        .doc("Seconds by which its assertions are valid earlier."),
    string("sasl.oauthbearer.assertion.claim.sub").doc("The subject of its assertions."),
    string("sasl.oauthbearer.assertion.file").doc("The file with a ready assertion."),
    string("sasl.oauthbearer.assertion.private.key.file")
        .doc("The file with the key that signs assertions."),
    password("sasl.oauthbearer.assertion.private.key.passphrase")
        .doc("The passphrase of that key."),
    string("sasl.oauthbearer.assertion.template.file")
        .doc("The file with the template of assertions."),
    string("sasl.oauthbearer.client.credentials.client.id")
        .doc("The client id of the broker at the token server."),
    password("sasl.oauthbearer.client.credentials.client.secret").doc("Its secret."),
    int("sasl.oauthbearer.clock.skew.seconds")
        .default("30")
        .doc("Seconds by which clocks may differ when a token is checked."),
    list("sasl.oauthbearer.expected.audience")
        .default("")
        .doc("The audiences of which a token must name one."),
    string("sasl.oauthbearer.expected.issuer").doc("The issuer a token must have."),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms")
        .default("3600000")
        .doc("Milliseconds between two reads of the keys that sign tokens."),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms")
        .default("10000")
        .doc("The longest pause before those keys are read again, in milliseconds."),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms")
        .default("100")
        .doc("The first pause before those keys are read again, in milliseconds."),
    string("sasl.oauthbearer.jwks.endpoint.url").doc("Where the keys that sign tokens are found."),
    class("sasl.oauthbearer.jwt.retriever.class")
        .default("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever")
        .doc("A Java class that gets tokens."),
    class("sasl.oauthbearer.jwt.validator.class")
        .default("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator")
        .doc("A Java class that checks tokens."),
    string("sasl.oauthbearer.scope").doc("The scope the broker asks a token for."),
    string("sasl.oauthbearer.scope.claim.name")
        .default("scope")
        .doc("The claim that holds a token's scope."),
    string("sasl.oauthbearer.sub.claim.name")
        .default("sub")
        .doc("The claim that holds a token's subject."),
    string("sasl.oauthbearer.token.endpoint.url").doc("Where tokens are asked for."),
    class("sasl.server.callback.handler.class")
        .doc("A Java class that answers a SASL server's questions."),
    int("sasl.server.max.receive.size")
        .default("524288")
        .doc("The most bytes a client may send before it is authenticated."),
    string("security.inter.broker.protocol")
        .default("PLAINTEXT")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .doc("The security protocol among brokers."),
    string("security.providers")
        .default_only()
        .doc("Java classes that provide security algorithms."),
    boolean("ssl.allow.dn.changes")
        .default("false")
        .doc("Whether a new certificate may name another subject."),
    boolean("ssl.allow.san.changes")
        .default("false")
        .doc("Whether a new certificate may name other hosts."),
    list("ssl.cipher.suites")
        .default("")
        .per_broker()
        .doc("The cipher suites of TLS."),
    string("ssl.client.auth")
        .default("none")
        .one_of(&["required", "requested", "none"])
        .per_broker()
        .doc("Whether clients must show a certificate."),
    list("ssl.enabled.protocols")
        .default("TLSv1.2,TLSv1.3")
        .per_broker()
        .doc("The versions of TLS."),
    string("ssl.endpoint.identification.algorithm")
        .default("https")
        .per_broker()
        .doc("How the name in a certificate is checked."),
    class("ssl.engine.factory.class")
        .per_broker()
        .doc("A Java class that makes TLS engines."),
    password("ssl.key.password")
        .per_broker()
        .doc("The password of the private key."),
    string("ssl.keymanager.algorithm")
        .default("SunX509")
        .per_broker()
        .doc("Java's algorithm for keys."),
    password("ssl.keystore.certificate.chain")
        .per_broker()
        .doc("The broker's certificates as PEM."),
    password("ssl.keystore.key")
        .per_broker()
        .doc("The broker's private key as PEM."),
    string("ssl.keystore.location")
        .per_broker()
        .doc("The file with the broker's key and certificates."),
    password("ssl.keystore.password")
        .per_broker()
        .doc("The password of that file."),
    string("ssl.keystore.type")
        .default("JKS")
        .per_broker()
        .doc("The format of that file."),
    string("ssl.principal.mapping.rules")
        .default("DEFAULT")
        .doc("Rules that turn a certificate's subject into a principal."),
    string("ssl.protocol")
        .default("TLSv1.3")
        .per_broker()
        .doc("The version of TLS."),
    string("ssl.provider")
        .per_broker()
        .doc("Java's provider of TLS."),
    string("ssl.secure.random.implementation")
        .per_broker()
        .doc("Java's generator of random numbers."),
    string("ssl.trustmanager.algorithm")
        .default("PKIX")
        .per_broker()
        .doc("Java's algorithm for trust."),
    password("ssl.truststore.certificates")
        .per_broker()
        .doc("The certificates that are trusted, as PEM."),
    string("ssl.truststore.location")
        .per_broker()
        .doc("The file with the certificates that are trusted."),
    password("ssl.truststore.password")
        .per_broker()
        .doc("The password of that file."),
    string("ssl.truststore.type")
        .default("JKS")
        .per_broker()
        .doc("The format of that file."),
    string("super.users")
        .default("")
        .doc("Principals to whom everything is allowed, separated by semicolons."),
];
