//! Which operations a client is allowed, as the bit fields that describe and metadata responses carry: bit n stands for
//! the operation with code n of `AclOperation`.
//!
//! Without an authorizer every operation that a kind of resource supports is allowed (`AuthHelper.authorizedOperations`,
//! `AclEntry.supportedOperations`).

/// The field's value when the client did not ask.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// Everything that can be done to a topic: read, write, create, delete, alter, describe and its configs.
pub(crate) const TOPIC: i32 = bits(&[
    READ,
    WRITE,
    CREATE,
    DELETE,
    ALTER,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
]);
/// Everything that can be done to a group.
pub(crate) const GROUP: i32 = bits(&[READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);
/// Everything that can be done to the cluster.
pub(crate) const CLUSTER: i32 = bits(&[
    CREATE,
    ALTER,
    DESCRIBE,
    CLUSTER_ACTION,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
    IDEMPOTENT_WRITE,
]);

const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

const fn bits(operations: &[u32]) -> i32 {
    let mut field = 0;
    let mut index = 0;
    while index < operations.len() {
        field |= 1 << operations[index];
        index += 1;
    }
    field
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_are_those_of_a_kafka_without_an_authorizer() {
        // What DescribeCluster and Metadata of Apache Kafka 4.2 answer.
        assert_eq!(super::TOPIC, 3576);
        assert_eq!(super::GROUP, 3400);
        assert_eq!(super::CLUSTER, 8096);
    }
}
