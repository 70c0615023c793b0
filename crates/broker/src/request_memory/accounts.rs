//! Who holds how much of the memory for requests, who may have more, and who has to give way. Pure: no clock, no wakers.
//!
//! Invariants: what is used is the sum of what is held. What was granted stays within the limit, but for one connection at
//! a time, the overdrawn one. Connections that hold little may use all of the limit, the others three quarters, so that
//! large or half-received frames never keep small requests out. Each kind is granted in the order in which it asked.
//!
//! Why nobody waits for ever: the first of a queue waits only while another connection is overdrawn. That one finishes
//! what it does and is no longer overdrawn, or it grows old, or has been overdrawn for twice as long; who has held the most memory for the longest, among those
//! older than [`PATIENCE`], gives way. Who waits itself does not: it could finish nothing meanwhile. A client that sends half a frame and stops, that drips it, or that does not read its
//! answers, therefore delays others by at most that long, and those with small requests only if thousands do the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use types::Instant;

/// How long a connection may hold memory that others wait for without finishing anything. A frame of 1 MiB is safe above
/// 200 KiB/s, one of 100 MiB above 20 MiB/s; slower ones give way only while memory is short.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a connection holds that counts as small: a buffer of the usual size and 64 small requests in flight.
const SMALL: usize = 256 * 1024;
/// What a connection keeps when it is asked to give way: a long poll of a client that is well-behaved.
pub(crate) const KEPT: usize = 16 * 1024;

/// Names a connection.
pub(super) type Id = u64;

/// How much a connection asks for in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl Size {
    fn of(bytes: usize) -> Self {
        if bytes <= SMALL {
            Self::Small
        } else {
            Self::Large
        }
    }
}

#[derive(Debug)]
struct Account {
    held: usize,
    /// When the connection last finished something, or was granted what it had waited for.
    since: Instant,
    waits: Option<Size>,
    /// It has been told to give way and did not answer yet.
    told: bool,
}

/// The accounts of all connections.
#[derive(Debug)]
pub(super) struct Accounts {
    limit: usize,
    used: usize,
    accounts: BTreeMap<Id, Account>,
    small: VecDeque<Id>,
    large: VecDeque<Id>,
    /// Whose memory is beyond the limit, and since when.
    overdrawn: Option<(Id, Instant)>,
    last_overdrawn: Size,
}

impl Accounts {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            accounts: BTreeMap::new(),
            small: VecDeque::new(),
            large: VecDeque::new(),
            overdrawn: None,
            last_overdrawn: Size::Large,
        }
    }

    pub(super) fn open(&mut self, id: Id, now: Instant) {
        let account = Account {
            held: 0,
            since: now,
            waits: None,
            told: false,
        };
        self.accounts.insert(id, account);
    }

    /// The connection ends; what it held is free.
    pub(super) fn close(&mut self, id: Id) {
        self.leave_queue(id);
        self.hold(id, 0);
        self.accounts.remove(&id);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Lets the connection hold `want` bytes in all, or else makes it wait; it asks again when it is woken.
    pub(super) fn ask(&mut self, id: Id, want: usize, now: Instant) -> bool {
        let Some(account) = self.accounts.get(&id) else {
            return false;
        };
        let more = want.saturating_sub(account.held);
        if more == 0 {
            self.leave_queue(id);
            return true;
        }
        let size = Size::of(want);
        if account.waits != Some(size) {
            self.leave_queue(id);
        }
        let is_first = self.queue(size).front().is_none_or(|&first| first == id);
        let fits = is_first && self.beside_overdrawn().saturating_add(more) <= self.ceiling(size);
        if !fits && !self.is_overdrawn(id) {
            if !(is_first && self.may_overdraw(size)) {
                self.join_queue(id, size);
                return false;
            }
            self.overdrawn = Some((id, now));
            self.last_overdrawn = size;
        }
        let waited = self.leave_queue(id);
        self.used = self.used.saturating_add(more);
        if let Some(account) = self.accounts.get_mut(&id) {
            account.held = want;
            if waited {
                // It could finish nothing meanwhile.
                account.since = now;
            }
        }
        true
    }

    /// What the connection holds now, whether more or less than before: memory that exists is counted.
    pub(super) fn hold(&mut self, id: Id, held: usize) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut account.held, held);
        self.used = self.used - before + held;
        if let Some((overdrawn, _)) = self.overdrawn {
            let held = self.held(overdrawn);
            // Not before it fits beside the part that small requests have to themselves.
            if held == 0 || self.used <= self.ceiling(Size::of(held)) {
                self.overdrawn = None;
            }
        }
    }

    /// The connection finished something.
    pub(super) fn touch(&mut self, id: Id, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.since = now;
            account.told = false;
        }
    }

    /// The connection no longer wants what it asked for. True if it waited.
    pub(super) fn leave_queue(&mut self, id: Id) -> bool {
        let waits = self.accounts.get_mut(&id).and_then(|it| it.waits.take());
        if let Some(size) = waits {
            self.queue_mut(size).retain(|&waiting| waiting != id);
        }
        waits.is_some()
    }

    /// Those who may ask again with a chance: the first of each queue.
    pub(super) fn first(&self) -> [Option<Id>; 2] {
        [self.small.front().copied(), self.large.front().copied()]
    }

    /// Who has to give way so that the connection can hold `want` bytes in all: as few as needed, those first that have
    /// held the most for the longest. Nobody is told twice, and only the first of a queue may ask for it.
    pub(super) fn press(&mut self, id: Id, want: usize, now: Instant) -> Vec<Id> {
        let (Some(size), true) = (self.waits(id), self.first().contains(&Some(id))) else {
            return Vec::new();
        };
        let more = want.saturating_sub(self.held(id));
        let mut missing = self
            .beside_overdrawn()
            .saturating_add(more)
            .saturating_sub(self.ceiling(size));
        let mut holders: Vec<_> = self
            .accounts
            .iter()
            .filter(|&(&holder, account)| {
                holder != id
                    && account.held > KEPT
                    && !account.told
                    && (self.overdrawn_for(holder, now) >= 2 * PATIENCE
                        || account.waits.is_none() && now.since(account.since) >= PATIENCE)
            })
            .map(|(&holder, account)| {
                let waste = now.since(account.since).as_millis() * account.held as u128;
                (std::cmp::Reverse(waste), holder, account.held)
            })
            .collect();
        holders.sort_unstable();
        let mut told = Vec::new();
        for (_, holder, held) in holders {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(held - KEPT);
            if let Some(account) = self.accounts.get_mut(&holder) {
                account.told = true;
            }
            told.push(holder);
        }
        told
    }

    /// Whether the connection was told to give way and has finished nothing since. It is told once.
    pub(super) fn must_give_way(&mut self, id: Id) -> bool {
        let account = self.accounts.get_mut(&id);
        account.is_some_and(|account| std::mem::take(&mut account.told))
    }

    fn is_overdrawn(&self, id: Id) -> bool {
        self.overdrawn.is_some_and(|(overdrawn, _)| overdrawn == id)
    }

    /// For how long the connection has been overdrawn.
    fn overdrawn_for(&self, id: Id, now: Instant) -> Duration {
        match self.overdrawn {
            Some((overdrawn, since)) if overdrawn == id => now.since(since),
            _ => Duration::ZERO,
        }
    }

    /// What counts against the limit: one connection may be beyond it, at nobody's expense.
    fn beside_overdrawn(&self) -> usize {
        self.used - self.overdrawn.map_or(0, |(id, _)| self.held(id))
    }

    fn waits(&self, id: Id) -> Option<Size> {
        self.accounts.get(&id).and_then(|account| account.waits)
    }

    fn held(&self, id: Id) -> usize {
        self.accounts.get(&id).map_or(0, |account| account.held)
    }

    fn ceiling(&self, size: Size) -> usize {
        match size {
            Size::Small => self.limit,
            Size::Large => self.limit / 4 * 3,
        }
    }

    /// Both queues have their turn with the overdraft.
    fn may_overdraw(&self, size: Size) -> bool {
        let other = match size {
            Size::Small => &self.large,
            Size::Large => &self.small,
        };
        self.overdrawn.is_none() && (other.is_empty() || self.last_overdrawn != size)
    }

    fn join_queue(&mut self, id: Id, size: Size) {
        if let Some(account) = self.accounts.get_mut(&id)
            && account.waits.is_none()
        {
            account.waits = Some(size);
            self.queue_mut(size).push_back(id);
        }
    }

    fn queue(&self, size: Size) -> &VecDeque<Id> {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }

    fn queue_mut(&mut self, size: Size) -> &mut VecDeque<Id> {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }
}

#[cfg(test)]
mod tests;
