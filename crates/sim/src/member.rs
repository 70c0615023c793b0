//! A member of a classic group: it joins, takes the partitions that the leader gives it, reads them, commits, and leaves or
//! just goes away.
//!
//! Invariant: once a member was told of a generation, no commit of an earlier one is taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use history::{Action, Kind, Step};
use protocol::ErrorCode;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};

use crate::client::Client;
use crate::offsets;
use crate::plan::{Partition, TopicKind};
use crate::random::Random;
use crate::reader::Reader;
use crate::requests::Committer;
use crate::world::World;

/// The group of all members.
pub(crate) const GROUP: &str = "members";

const JOIN: i16 = 5;
const SYNC: i16 = 3;
const HEARTBEAT: i16 = 3;
const LEAVE: i16 = 1;
/// How long a member waits for the others: until those that went away are missed.
const JOIN_MAX: Duration = Duration::from_secs(10);
const SESSION_TIMEOUT_MS: i32 = 3_000;

#[derive(Debug)]
pub(crate) struct Member {
    world: Arc<World>,
    client: Client,
    random: Random,
    process: u32,
    partitions: Vec<Partition>,
    committer: Committer,
    reader: Option<Reader>,
}

impl Member {
    pub(crate) fn new(world: Arc<World>, process: u32) -> Self {
        Self {
            client: Client::new(Arc::clone(&world)),
            random: world.fork(),
            partitions: world.plan.partitions(|kind| kind == TopicKind::Plain),
            process,
            committer: Committer::ANYBODY,
            reader: None,
            world,
        }
    }

    pub(crate) async fn run(mut self) {
        for _turn in 0..self.world.plan.operations {
            if self.reader.is_none() {
                self.join().await;
            }
            match self.random.below(20) {
                0 => self.leave().await,
                // It goes away, and comes again as another.
                1 => self.forget(),
                2..=6 => self.commit().await,
                7..=9 => self.heartbeat().await,
                _ => self.poll().await,
            }
            let rest = self.random.span(self.world.plan.faults.rest);
            self.world.sleep(rest).await;
        }
        self.leave().await;
    }

    fn forget(&mut self) {
        self.client.close();
        self.reader = None;
        self.committer = Committer::ANYBODY;
    }

    /// One attempt to become a member that has its partitions.
    async fn join(&mut self) {
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: SESSION_TIMEOUT_MS,
            member_id: self.committer.member.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "all".to_owned(),
                metadata: Bytes::new(),
            }],
            ..Default::default()
        };
        let answer = self.client.call_within(&request, JOIN, JOIN_MAX).await;
        let Ok(answer) = answer else {
            return;
        };
        match ErrorCode::from_i16(answer.error_code) {
            Some(ErrorCode::None) => {
                self.committer = Committer {
                    generation: answer.generation_id,
                    member: answer.member_id.clone(),
                };
                self.sync(&answer).await;
            }
            Some(ErrorCode::MemberIdRequired) => self.committer.member = answer.member_id,
            Some(ErrorCode::UnknownMemberId) => self.committer.member = String::new(),
            _ => {}
        }
    }

    /// What the leader gives to whom: partitions go around among the members.
    fn assignments(&self, joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
        let count = joined.members.len().max(1);
        let assignment = |(place, member): (usize, &str)| {
            let mut bytes = BytesMut::new();
            for number in (place..self.partitions.len()).step_by(count) {
                bytes.put_u32(u32::try_from(number).unwrap_or(u32::MAX));
            }
            SyncGroupRequestAssignment {
                member_id: member.to_owned(),
                assignment: bytes.freeze(),
            }
        };
        let members = joined
            .members
            .iter()
            .map(|member| member.member_id.as_str());
        members.enumerate().map(assignment).collect()
    }

    async fn sync(&mut self, joined: &JoinGroupResponse) {
        let is_leader = joined.leader == joined.member_id;
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: if is_leader {
                self.assignments(joined)
            } else {
                Vec::new()
            },
            ..Default::default()
        };
        let answer = self.client.call_within(&request, SYNC, JOIN_MAX).await;
        let Ok(answer) = answer else {
            return;
        };
        if answer.error_code != 0 {
            self.leave_generation(answer.error_code);
            return;
        }
        let model = &self.world.model;
        model.generation_told(GROUP, joined.generation_id);
        let mut mine = Vec::new();
        let mut assignment = answer.assignment;
        while assignment.remaining() >= 4 {
            let number = usize::try_from(assignment.get_u32()).unwrap_or(usize::MAX);
            mine.extend(self.partitions.get(number).cloned());
        }
        self.begin(mine).await;
    }

    /// Goes on from what the group committed.
    async fn begin(&mut self, mine: Vec<Partition>) {
        let committed = offsets::committed(&self.world, &mut self.client, GROUP, &mine).await;
        let Some(committed) = committed else {
            return;
        };
        let mut reader = Reader::new(Arc::clone(&self.world), mine, true);
        for ((_, position), committed) in reader.positions.iter_mut().zip(committed) {
            *position = committed.unwrap_or(0);
        }
        for kind in [Kind::Invoke, Kind::Ok] {
            let keys = reader.history_keys();
            let subscribe = Action::Subscribe { keys };
            self.world.recorder.note(self.process, kind, subscribe);
        }
        self.reader = Some(reader);
    }

    async fn poll(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        if reader.positions.is_empty() {
            return;
        }
        let recorder = &self.world.recorder;
        recorder.run(self.process, Kind::Invoke, Vec::new());
        match reader.poll(&mut self.client).await {
            Some(poll) => recorder.run(self.process, Kind::Ok, vec![Step::Poll(poll.polled)]),
            None => recorder.run(self.process, Kind::Fail, Vec::new()),
        }
    }

    async fn commit(&mut self) {
        let Some(reader) = &self.reader else {
            return;
        };
        let (generation, latest) = (
            self.committer.generation,
            self.world.model.latest_generation(GROUP),
        );
        let codes = offsets::commit(
            &self.world,
            &mut self.client,
            GROUP,
            &self.committer,
            &reader.positions,
        );
        for code in codes.await.into_iter().flatten() {
            self.world.model.check(code != 0 || generation >= latest, || {
                format!("a commit of generation {generation} of {GROUP} was taken, though generation {latest} was told of before")
            });
            self.leave_generation(code);
        }
    }

    async fn heartbeat(&mut self) {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.committer.generation,
            member_id: self.committer.member.clone(),
            ..Default::default()
        };
        if let Ok(answer) = self.client.call(&request, HEARTBEAT).await {
            self.leave_generation(answer.error_code);
        }
    }

    /// Joins again if an answer says that the generation is over.
    fn leave_generation(&mut self, code: i16) {
        match ErrorCode::from_i16(code) {
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {
                self.reader = None;
            }
            Some(ErrorCode::UnknownMemberId) => self.forget(),
            _ => {}
        }
    }

    async fn leave(&mut self) {
        let request = LeaveGroupRequest {
            group_id: GROUP.to_owned(),
            member_id: self.committer.member.clone(),
            ..Default::default()
        };
        // Whether it was heard or not: after a while it is missed.
        drop(self.client.call(&request, LEAVE).await);
        self.forget();
    }
}
