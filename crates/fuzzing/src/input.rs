//! A fuzzer's bytes as the arguments of a target, and arguments as bytes for seeds.

/// Takes values off the front; when there are no more, zeros and nothing.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.array())
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    /// A piece that was packed, or what there is of it.
    pub(crate) fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Appends a piece, as [`Input::piece`] takes it.
pub(crate) fn pack(bytes: &mut Vec<u8>, piece: &[u8]) {
    let length = u16::try_from(piece.len()).expect("seeds have short pieces");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(piece);
}
