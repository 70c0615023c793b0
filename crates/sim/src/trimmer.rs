//! Who has records deleted, of topics that are for it.

use std::sync::Arc;

use crate::client::Client;
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::requests;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Trimmer {
    world: Arc<World>,
    client: Client,
    random: Random,
    partitions: Vec<Partition>,
}

impl Trimmer {
    /// One, if the run has such a topic.
    pub(crate) fn new(world: &Arc<World>) -> Option<Self> {
        let partitions = world.plan.partitions(|kind| kind == TopicKind::Trimmed);
        (!partitions.is_empty()).then(|| Self {
            client: Client::new(Arc::clone(world)),
            random: world.fork(),
            partitions,
            world: Arc::clone(world),
        })
    }

    pub(crate) async fn run(mut self) {
        for _deletion in 0..self.world.plan.operations / 2 {
            let partition = self.partitions[self.random.index(self.partitions.len())].clone();
            let end = self.world.model.known_end(&partition);
            let limit = u64::try_from(end).unwrap_or(0);
            let offset = i64::try_from(self.random.below(limit + 1)).unwrap_or(0);
            self.trim(&partition, offset).await;
            let rest = self.random.span(self.world.plan.faults.rest * 2);
            self.world.sleep(rest).await;
        }
    }

    async fn trim(&mut self, partition: &Partition, offset: i64) {
        let model = &self.world.model;
        model.trim_wanted(partition, offset);
        let request = requests::delete_records(partition, offset);
        let answer = self.client.call(&request, requests::DELETE_RECORDS).await;
        let Ok(answer) = answer else {
            return;
        };
        let told = answer
            .topics
            .first()
            .and_then(|topic| topic.partitions.first());
        if let Some(told) = told.filter(|told| told.error_code == 0) {
            let low = told.low_watermark;
            model.check(low >= offset, || {
                format!(
                    "{partition}: records below {offset} were to be deleted, the answer says {low}"
                )
            });
            model.trimmed(partition, offset);
        }
    }
}
