//! Creating, growing and deleting topics.

use metadata::{
    AssignmentError, CreatePartitionsError, CreateTopicError, DeleteTopicError, InternalTopic,
    NewPartitions, NewTopic, ReplicaAssignment, TopicRef,
};

use crate::fixture::{Folder, topic, with_settings};

/// What the wire would answer.
fn code(error: &CreateTopicError) -> i16 {
    match error {
        CreateTopicError::Duplicate
        | CreateTopicError::Prohibited
        | CreateTopicError::AssignmentAndNumber(_) => 42,
        CreateTopicError::Name(_) | CreateTopicError::Collision { .. } => 17,
        CreateTopicError::Exists(_) => 36,
        CreateTopicError::Partitions(_) => 37,
        CreateTopicError::ReplicationFactor(_) | CreateTopicError::TooFewBrokers { .. } => 38,
        CreateTopicError::Assignment(_) => 39,
        CreateTopicError::NullSetting(_) | CreateTopicError::Setting(_) => 40,
        CreateTopicError::TooManyPartitions => 44,
        CreateTopicError::Store(_) => -1,
    }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    let pairs = assignments.iter();
    NewTopic {
        assignments: pairs
            .map(|&(partition, brokers)| ReplicaAssignment {
                partition,
                brokers: brokers.to_vec(),
            })
            .collect(),
        ..topic(name)
    }
}

#[tokio::test]
async fn a_topic_is_created_with_defaults_and_survives_a_restart() {
    let folder = Folder::new();
    let cluster = folder.open_with(&[("num.partitions", "4")]).await.unwrap();
    let outcomes = cluster
        .create_topics(
            vec![with_settings("flights", &[("retention.ms", "5")])],
            false,
        )
        .await;
    let created = outcomes[0].as_ref().unwrap().clone();
    assert_eq!((created.partitions, created.replication_factor), (4, 1));
    assert_eq!(created.resolved.retention_ms, Some(5));
    let image = cluster.image();
    let seen = image.topic("flights").unwrap();
    assert_eq!(seen.id, created.id);
    assert_eq!(image.topic_by_id(created.id).unwrap().name, seen.name);
    let (id, revision) = (image.cluster_id.clone(), image.revision);
    cluster.close();
    drop(cluster);

    let cluster = folder.open().await;
    let image = cluster.image();
    assert_eq!(image.cluster_id, id);
    assert_eq!(image.revision, revision, "a start changes nothing");
    let again = image.topic("flights").unwrap();
    assert_eq!((again.id, again.partitions), (created.id, 4));
    assert_eq!(again.settings, created.settings);
}

#[tokio::test]
async fn every_rule_about_new_topics_has_its_error() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    cluster
        .create_topics(vec![topic("there"), topic("a.b")], false)
        .await;
    let partitions = |count| NewTopic {
        partitions: Some(count),
        ..topic("t")
    };
    let replicas = |count| NewTopic {
        replication_factor: Some(count),
        ..topic("t")
    };
    let cases: Vec<(NewTopic, i16)> = vec![
        (topic(""), 17),
        (topic("."), 17),
        (topic(".."), 17),
        (topic(&"x".repeat(250)), 17),
        (topic("a b"), 17),
        (topic("ä"), 17),
        (topic("a_b"), 17),
        (topic("there"), 36),
        (topic("__cluster_metadata"), 42),
        (partitions(0), 37),
        (partitions(-1), 37),
        (replicas(0), 38),
        (replicas(-2), 38),
        (replicas(2), 38),
        (partitions(200_001), 44),
        (with_settings("t", &[("no.such.setting", "1")]), 40),
        (with_settings("t", &[("retention.ms", "-2")]), 40),
        (
            with_settings("t", &[("cleanup.policy", "compact,,delete")]),
            40,
        ),
        (
            with_settings(
                "t",
                &[
                    ("min.compaction.lag.ms", "10"),
                    ("max.compaction.lag.ms", "9"),
                ],
            ),
            40,
        ),
        (
            NewTopic {
                settings: vec![("retention.ms".to_owned(), None)],
                ..topic("t")
            },
            40,
        ),
        (assigned("t", &[(0, &[])]), 39),
        (assigned("t", &[(0, &[7])]), 39),
        (assigned("t", &[(0, &[1, 1])]), 39),
        (assigned("t", &[(0, &[1]), (0, &[1])]), 39),
        (assigned("t", &[(0, &[1]), (2, &[1])]), 39),
        (
            NewTopic {
                partitions: Some(1),
                ..assigned("t", &[(0, &[1])])
            },
            42,
        ),
        (
            NewTopic {
                replication_factor: Some(1),
                ..assigned("t", &[(0, &[1])])
            },
            42,
        ),
    ];
    let revision = cluster.image().revision;
    for (new, expected) in cases {
        for validate_only in [true, false] {
            let outcomes = cluster
                .create_topics(vec![new.clone()], validate_only)
                .await;
            let error = outcomes[0].as_ref().unwrap_err();
            assert_eq!(code(error), expected, "{new:?}: {error}");
        }
    }
    assert_eq!(
        cluster.image().revision,
        revision,
        "refusals change nothing"
    );
}

#[tokio::test]
async fn valid_topics_of_a_request_are_created_beside_invalid_ones() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let outcomes = cluster
        .create_topics(
            vec![
                topic("good"),
                topic("twice"),
                topic("b ad"),
                topic("twice"),
                topic("x.y"),
                topic("x_y"),
            ],
            false,
        )
        .await;
    let codes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map_or_else(code, |_| 0))
        .collect();
    assert_eq!(codes, [0, 42, 17, 42, 0, 17]);
    let image = cluster.image();
    let names: Vec<_> = image.topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["good", "x.y"]);
}

#[tokio::test]
async fn names_of_every_legal_form_are_accepted() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    for name in ["a", "A-9_z.", "...", "-", &"x".repeat(249)] {
        let outcomes = cluster.create_topics(vec![topic(name)], true).await;
        assert!(outcomes[0].is_ok(), "{name}: {:?}", outcomes[0]);
    }
    assert_eq!(
        cluster.image().topics().len(),
        0,
        "validating creates nothing"
    );
}

#[tokio::test]
async fn an_assignment_gives_the_numbers() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let outcomes = cluster
        .create_topics(vec![assigned("t", &[(1, &[1]), (0, &[1])])], false)
        .await;
    let created = outcomes[0].as_ref().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
}

#[tokio::test]
async fn internal_topics_are_clamped_to_the_brokers_there_are() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    for (internal, policy) in [
        (InternalTopic::ConsumerOffsets, (false, true)),
        (InternalTopic::TransactionState, (false, true)),
        (InternalTopic::ShareGroupState, (true, false)),
    ] {
        let created = cluster.internal_topic(internal).await.unwrap();
        assert_eq!((created.partitions, created.replication_factor), (50, 1));
        assert!(created.internal);
        let resolved = created.resolved.cleanup_policy;
        assert_eq!((resolved.delete, resolved.compact), policy);
        assert_eq!(created.resolved.segment_bytes, 104_857_600);
        let again = cluster.internal_topic(internal).await.unwrap();
        assert_eq!(again.id, created.id);
    }
}

#[tokio::test]
async fn a_deleted_topic_comes_back_with_another_id() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let created = cluster.create_topics(vec![topic("x.y")], false).await;
    let first = created[0].as_ref().unwrap().id;
    let gone = cluster
        .delete_topics(vec![
            TopicRef::Name("x.y".to_owned()),
            TopicRef::Name("nothing".to_owned()),
        ])
        .await;
    assert_eq!(gone[0].as_ref().unwrap().id, first);
    assert!(matches!(gone[1], Err(DeleteTopicError::UnknownName(_))));
    let image = cluster.image();
    assert!(image.topic("x.y").is_none() && image.topic_by_id(first).is_none());

    // The name that collided is free now.
    let created = cluster.create_topics(vec![topic("x_y")], false).await;
    let second = created[0].as_ref().unwrap().id;
    assert_ne!(first, second);
    let stale = cluster.delete_topics(vec![TopicRef::Id(first)]).await;
    assert!(matches!(stale[0], Err(DeleteTopicError::UnknownId(_))));
    let twice = cluster
        .delete_topics(vec![TopicRef::Id(second), TopicRef::Name("x_y".to_owned())])
        .await;
    assert!(
        twice
            .iter()
            .all(|one| matches!(one, Err(DeleteTopicError::Duplicate)))
    );
    let gone = cluster.delete_topics(vec![TopicRef::Id(second)]).await;
    assert!(gone[0].is_ok());
}

#[tokio::test]
async fn deletion_can_be_disabled() {
    let folder = Folder::new();
    let cluster = folder
        .open_with(&[("delete.topic.enable", "false")])
        .await
        .unwrap();
    cluster.create_topics(vec![topic("t")], false).await;
    let outcomes = cluster
        .delete_topics(vec![TopicRef::Name("t".to_owned())])
        .await;
    assert!(matches!(outcomes[0], Err(DeleteTopicError::Disabled)));
    assert!(cluster.image().topic("t").is_some());
}

#[tokio::test]
async fn partitions_only_grow() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let three = NewTopic {
        partitions: Some(3),
        ..topic("t")
    };
    cluster.create_topics(vec![three], false).await;
    let grow = |count, assignments: Option<Vec<Vec<i32>>>| {
        let cluster = cluster.clone();
        async move {
            let new = NewPartitions {
                topic: "t".to_owned(),
                count,
                assignments,
            };
            cluster.create_partitions(vec![new], false).await.remove(0)
        }
    };
    use CreatePartitionsError as Error;
    assert!(matches!(grow(3, None).await, Err(Error::Same(3))));
    assert!(matches!(grow(2, None).await, Err(Error::Fewer { .. })));
    assert!(matches!(grow(-1, None).await, Err(Error::Fewer { .. })));
    assert!(matches!(
        grow(i32::MAX, None).await,
        Err(Error::TooManyPartitions)
    ));
    assert!(matches!(
        grow(4, Some(vec![])).await,
        Err(Error::Assignment(AssignmentError::WrongCount { .. }))
    ));
    assert!(matches!(
        grow(4, Some(vec![vec![1, 2]])).await,
        Err(Error::Assignment(AssignmentError::UnknownBroker(2)))
    ));
    assert_eq!(grow(4, Some(vec![vec![1]])).await.unwrap().partitions, 4);
    let validated = cluster
        .create_partitions(
            vec![NewPartitions {
                topic: "t".to_owned(),
                count: 9,
                assignments: None,
            }],
            true,
        )
        .await;
    assert_eq!(validated[0].as_ref().unwrap().partitions, 9);
    assert_eq!(cluster.image().topic("t").unwrap().partitions, 4);
    let outcomes = cluster
        .create_partitions(
            ["nope", "t", "t"]
                .map(|topic| NewPartitions {
                    topic: topic.to_owned(),
                    count: 5,
                    assignments: None,
                })
                .to_vec(),
            false,
        )
        .await;
    assert!(matches!(outcomes[0], Err(Error::UnknownTopic)));
    assert!(matches!(outcomes[1], Err(Error::Duplicate)));
    assert!(matches!(outcomes[2], Err(Error::Duplicate)));
}

#[tokio::test]
async fn concurrent_creations_of_one_name_have_one_winner() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let cluster = cluster.clone();
        let name = if number % 2 == 0 { "a.b" } else { "a_b" };
        tasks.spawn(async move {
            cluster
                .create_topics(vec![topic(name)], false)
                .await
                .remove(0)
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(cluster.image().topics().len(), 1);
}

#[tokio::test]
async fn many_topics_and_partitions_take_one_transaction() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let before = cluster.image().revision;
    let topics = (0..1000)
        .map(|number| NewTopic {
            partitions: Some(10),
            ..topic(&format!("topic-{number:04}"))
        })
        .collect();
    let outcomes = cluster.create_topics(topics, false).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(cluster.image().revision, before.next());
    let image = cluster.image();
    let page: Vec<_> = image
        .topics_after("topic-0997")
        .map(|topic| topic.name.to_string())
        .collect();
    assert_eq!(page, ["topic-0998", "topic-0999"]);
}

#[tokio::test]
async fn producer_ids_are_never_handed_out_twice() {
    let folder = Folder::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let cluster = folder.open().await;
        for _ in 0..1500 {
            assert!(seen.insert(cluster.new_producer_id().await.unwrap()));
        }
        let block = cluster.allocate_producer_ids().await.unwrap();
        assert_eq!(block.filter(|id| seen.insert(*id)).count(), 1000);
        cluster.close();
    }
}

#[tokio::test]
async fn changes_are_told() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let mut changes = cluster.changes();
    cluster.create_topics(vec![topic("t")], false).await;
    changes.changed().await.unwrap();
    assert!(changes.borrow_and_update().topic("t").is_some());
}

#[tokio::test]
async fn after_closing_changes_fail() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    cluster.close();
    let outcomes = cluster.create_topics(vec![topic("t")], false).await;
    assert!(matches!(outcomes[0], Err(CreateTopicError::Store(_))));
}

#[tokio::test]
async fn changes_that_somebody_else_makes_are_followed() {
    let folder = Folder::new();
    let env = env::Env::system();
    let store = std::sync::Arc::new(metadata::LocalStore::open(&env, &folder.file()).unwrap());
    let open = || {
        let settings = metadata::settings::Layers::default();
        metadata::Cluster::with_store(&env, store.clone(), settings)
    };
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    let mut changes = other.changes();
    for number in 0..10 {
        let outcomes = one
            .create_topics(vec![topic(&format!("t-{number}"))], false)
            .await;
        assert!(outcomes[0].is_ok());
    }
    while other.image().revision < one.image().revision {
        changes.changed().await.unwrap();
    }
    assert_eq!(other.image().topics().len(), 10);
    // A stale image does not lead to a wrong answer.
    let outcomes = other.create_topics(vec![topic("t-3")], false).await;
    assert!(matches!(outcomes[0], Err(CreateTopicError::Exists(_))));
    assert_eq!(other.image().cluster_id, one.image().cluster_id);
}

#[tokio::test]
async fn only_the_names_of_the_clusters_own_topics_are_internal() {
    let folder = Folder::new();
    let cluster = folder.open().await;
    let own = [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ];
    let others = ["__connect-offsets", "_schemas", "__consumer_offsets_2"];
    let names = own.iter().chain(&others);
    for outcome in cluster
        .create_topics(names.clone().map(|name| topic(name)).collect(), false)
        .await
    {
        outcome.unwrap();
    }
    let image = cluster.image();
    for name in names {
        let is_internal = image.topic(name).unwrap().internal;
        assert_eq!(is_internal, own.contains(name), "{name}");
    }
}
