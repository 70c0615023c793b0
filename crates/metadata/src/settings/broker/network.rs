//! Listeners, connections and requests.

use super::super::definition::{Allowed, Setting, class, int, list, long, string};

pub(super) static SETTINGS: &[Setting] = &[
    list("advertised.listeners")
        .honoured()
        .doc("The addresses clients are told, when they differ from those the broker listens on."),
    class("client.quota.callback.class")
        .default_only()
        .doc("A Java class that decides quotas."),
    long("connections.max.idle.ms")
        .default("600000")
        .honoured()
        .doc(
            "Milliseconds without a request after which a connection is closed; negative is never.",
        ),
    list("early.start.listeners").doc("Listeners that open before the broker is ready."),
    string("listener.security.protocol.map")
        .default("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")
        .honoured()
        .per_broker()
        .doc("The security protocol of each listener name."),
    list("listeners")
        .default("PLAINTEXT://127.0.0.1:9092")
        .honoured()
        .per_broker()
        .doc("The addresses the broker listens on."),
    int("max.connection.creation.rate")
        .default("2147483647")
        .at_least(0)
        .honoured()
        .cluster_wide()
        .doc("The most new connections in a second."),
    int("max.connections")
        .default("2147483647")
        .at_least(0)
        .honoured()
        .cluster_wide()
        .doc("The most open connections."),
    int("max.connections.per.ip")
        .default("2147483647")
        .at_least(0)
        .honoured()
        .per_broker()
        .doc("The most open connections from one address."),
    string("max.connections.per.ip.overrides")
        .default("")
        .allowed(Allowed::AddressLimits)
        .honoured()
        .per_broker()
        .doc("Other limits for single addresses, as address:limit."),
    int("max.incremental.fetch.session.cache.slots")
        .default("1000")
        .at_least(0)
        .honoured()
        .doc("The most fetch sessions that are kept."),
    int("max.request.partition.size.limit")
        .default("2000")
        .at_least(1)
        .honoured()
        .doc("The most partitions one page of a topic description holds."),
    int("num.io.threads")
        .default("8")
        .at_least(1)
        .cluster_wide()
        .doc("Kafka's threads for requests; here the runtime decides."),
    int("num.network.threads")
        .default("3")
        .at_least(1)
        .cluster_wide()
        .doc("Kafka's threads for the network; here the runtime decides."),
    // Kafka has no limit by default, and a heap instead. A quarter of a GiB holds 2.5 of the largest requests, or 250 of a
    // producer's largest by default, and fits beside all else on a machine of 1 GiB.
    long("queued.max.request.bytes")
        .default("268435456")
        .honoured()
        .doc(
            "The most memory that requests and their unread answers may take, in bytes, at least 16777216; negative is no limit. Kafka counts requests only.",
        ),
    int("queued.max.requests")
        .default("500")
        .at_least(1)
        .doc("The most requests that wait for a thread; here none waits, each connection may have 64, and memory is limited."),
    int("quota.window.num")
        .default("11")
        .at_least(1)
        .honoured()
        .doc("Windows kept for clients' quotas."),
    int("quota.window.size.seconds")
        .default("1")
        .at_least(1)
        .honoured()
        .doc("Seconds of each window for clients' quotas."),
    int("request.timeout.ms")
        .default("30000")
        .doc("Milliseconds after which a request of the broker to another one fails."),
    long("socket.connection.setup.timeout.max.ms")
        .default("30000")
        .doc("The longest time a connection to another broker may take, in milliseconds."),
    long("socket.connection.setup.timeout.ms")
        .default("10000")
        .doc("Milliseconds after which a first connection to another broker fails."),
    int("socket.listen.backlog.size")
        .default("50")
        .at_least(1)
        .doc("Connections that may wait to be accepted; here always as many as the system allows."),
    int("socket.receive.buffer.bytes")
        .default("102400")
        .doc("The receive buffer of a connection, in bytes; here the system sizes it."),
    int("socket.request.max.bytes")
        .default("104857600")
        .at_least(1)
        .honoured()
        .doc("The largest request, in bytes."),
    int("socket.send.buffer.bytes")
        .default("102400")
        .doc("The send buffer of a connection, in bytes; here the system sizes it."),
];
