//! Transactions of a few accounts, for a topic of three partitions, and the partition that each lies in.

use crate::random::Random;
use std::fmt::Write;

/// So many partitions has the topic.
pub(crate) const PARTITIONS: u32 = 3;
const TRANSACTIONS: u64 = 60;
const ACCOUNTS: [&str; 8] = ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "o'brien"];

/// A transaction; amounts are in cents.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: u64,
    pub(crate) account: &'static str,
    pub(crate) cents: i64,
}

impl Transaction {
    fn value(&self) -> String {
        let (id, account, amount) = (self.id, self.account, decimal(self.cents));
        format!("{{\"id\": {id}, \"account\": \"{account}\", \"amount\": {amount}}}")
    }

    /// Where Kafka's producers put it.
    pub(crate) fn partition(&self) -> u32 {
        (murmur2(self.account.as_bytes()) & 0x7fff_ffff) % PARTITIONS
    }
}

pub(super) fn transactions(random: &mut Random) -> Vec<Transaction> {
    (1..=TRANSACTIONS)
        .map(|id| Transaction {
            id,
            account: random.pick(&ACCOUNTS).copied().unwrap_or_default(),
            cents: i64::try_from(random.below(60_000)).unwrap_or_default() - 20_000,
        })
        .collect()
}

/// Lines of key and value, as `watertable produce -k :` takes them.
pub(super) fn lines(transactions: &[Transaction]) -> String {
    let mut text = String::new();
    for transaction in transactions {
        writeln!(text, "{}:{}", transaction.account, transaction.value())
            .expect("writing to a string does not fail");
    }
    text
}

/// Cents as a decimal.
pub(crate) fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// The hash of a key that Kafka's producers choose a partition by.
fn murmur2(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_java_client() {
        // From its own tests.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
        ] {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn all_partitions_have_some_and_an_account_lies_in_one() {
        let transactions = transactions(&mut Random::new(1));
        assert_eq!(transactions.len(), 60);
        for partition in 0..PARTITIONS {
            assert!(transactions.iter().any(|one| one.partition() == partition));
        }
        assert_eq!(lines(&transactions).lines().count(), 60);
        assert_eq!(decimal(-5), "-0.05");
        assert_eq!(decimal(12_345), "123.45");
    }
}
