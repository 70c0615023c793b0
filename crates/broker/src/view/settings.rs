//! Settings as DescribeConfigs tells them: secrets have no value.

use metadata::settings::{ConfigEntry, Resource};

use super::View;

impl View {
    /// What has settings: this broker, all topics, and the groups and subscriptions to clients' metrics that have some of
    /// their own.
    pub fn resources(&self) -> Vec<Resource> {
        let topics = &self.services.topics;
        let image = topics.image();
        let broker = Resource::Broker(topics.broker_id().0);
        let of_topics = image
            .topics()
            .map(|topic| Resource::Topic(topic.name.clone()));
        let of_groups = image.groups_with_settings();
        let of_groups = of_groups.map(|group| Resource::Group(group.into()));
        let of_clients = image.client_metrics();
        let of_clients = of_clients.map(|name| Resource::ClientMetrics(name.into()));
        [broker]
            .into_iter()
            .chain(of_topics)
            .chain(of_groups)
            .chain(of_clients)
            .collect()
    }

    /// The settings of a resource; of a topic that is gone, none.
    pub fn settings(&self, resource: &Resource) -> Vec<ConfigEntry> {
        let image = self.services.topics.image();
        match resource {
            Resource::Broker(_) => image.describe_broker(),
            Resource::Topic(name) => match image.topic(name.as_str()) {
                Some(topic) => image.describe_topic(topic),
                None => Vec::new(),
            },
            Resource::Group(group) => image.describe_group(group),
            Resource::ClientMetrics(name) => image.describe_client_metrics(name),
        }
    }
}
