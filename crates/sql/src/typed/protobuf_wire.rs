//! [`Wire`]: the fields of a message as they are written (<https://protobuf.dev/programming-guides/encoding/>).

use prost_reflect::Kind;

/// Groups nested deeper than this are not passed over.
const GROUPS_MAX: usize = 64;
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// The bytes are no message.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) cause: &'static str,
}

/// What is written for a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Group,
}

/// It is written as another type.
const OTHER: Broken = Broken {
    at: 0,
    cause: "a field is written as another type than the schema's",
};

impl<'a> Value<'a> {
    pub(super) const fn varint(self) -> Result<u64, Broken> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(OTHER),
        }
    }

    pub(super) const fn fixed64(self) -> Result<u64, Broken> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(OTHER),
        }
    }

    pub(super) const fn fixed32(self) -> Result<u32, Broken> {
        match self {
            Self::Fixed32(value) => Ok(value),
            _ => Err(OTHER),
        }
    }

    pub(super) const fn bytes(self) -> Result<&'a [u8], Broken> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(OTHER),
        }
    }

    /// The items of a repeated field of the kind: those that are packed into bytes, or this one.
    pub(super) const fn packed(self, kind: &Kind) -> Packed<'a> {
        match (self, kind) {
            (Self::Bytes(bytes), kind)
                if !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_)) =>
            {
                Packed::Items {
                    wire: Wire::new(bytes),
                    wire_type: match kind {
                        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
                        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
                        _ => VARINT,
                    },
                }
            }
            _ => Packed::One(Some(self)),
        }
    }
}

/// Items of a repeated field.
pub(super) enum Packed<'a> {
    One(Option<Value<'a>>),
    Items { wire: Wire<'a>, wire_type: u64 },
}

impl<'a> Packed<'a> {
    pub(super) fn next_item(&mut self) -> Result<Option<Value<'a>>, Broken> {
        match self {
            Self::One(one) => Ok(one.take()),
            Self::Items { wire, .. } if wire.is_at_end() => Ok(None),
            Self::Items { wire, wire_type } => wire.value(*wire_type, 0, 0).map(Some),
        }
    }
}

/// A way through a message.
#[derive(Clone, Debug)]
pub(super) struct Wire<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The message in a value, behind the frame of a schema registry's clients if there is one: a zero byte, the number of
    /// the schema, and the way to the message in it, as a count and so many numbers.
    pub(super) fn unframed(value: &'a [u8]) -> Result<Self, Broken> {
        let mut wire = Self::new(value);
        if value.first() != Some(&0) {
            return Ok(wire);
        }
        wire.take(5)?;
        // Zigzag: twice the count.
        let count = wire.varint()? >> 1;
        for _index in 0..count {
            wire.varint()?;
        }
        Ok(wire)
    }

    const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    const fn broken(&self, cause: &'static str) -> Broken {
        Broken { at: self.at, cause }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let taken = self.bytes.get(self.at..self.at.saturating_add(count));
        let taken = taken.ok_or_else(|| self.broken("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { break };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.broken("a number that does not end"))
    }

    /// The next field and what is written for it; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.is_at_end() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let value = self.value(wire_type, number, GROUPS_MAX)?;
        Ok(Some((number, value)))
    }

    fn tag(&mut self) -> Result<(u32, u64), Broken> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| self.broken("a field without a number"))?;
        Ok((number, tag & 7))
    }

    /// What is written, of a type; a group is passed over.
    fn value(
        &mut self,
        wire_type: u64,
        number: u32,
        groups_left: usize,
    ) -> Result<Value<'a>, Broken> {
        Ok(match wire_type {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            FIXED32 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            BYTES => {
                let length = usize::try_from(self.varint()?);
                let length = length.map_err(|_too_long| self.broken("it ends too early"))?;
                Value::Bytes(self.take(length)?)
            }
            GROUP => {
                let left = groups_left.checked_sub(1);
                let left = left.ok_or_else(|| self.broken("nested too deeply"))?;
                self.skip_group(number, left)?;
                Value::Group
            }
            _ => return Err(self.broken("a type that Protobuf does not have")),
        })
    }

    fn skip_group(&mut self, group: u32, left: usize) -> Result<(), Broken> {
        loop {
            let (number, wire_type) = self.tag()?;
            if wire_type == GROUP_END {
                let ends = number == group;
                return ends
                    .then_some(())
                    .ok_or_else(|| self.broken("a group that another one ends"));
            }
            self.value(wire_type, number, left)?;
        }
    }

    fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Broken> {
        let bytes = self.take(SIZE)?.try_into();
        bytes.map_err(|_never| self.broken("it ends too early"))
    }
}
