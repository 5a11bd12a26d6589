//! The buffers of one connection: ureq writes a request into one and reads a response from the other.
//!
//! They hold tokens, so they are wiped: the output once the connection has taken it, the input as ureq reads it, and both when
//! the connection is dropped.

use ureq::unversioned::transport::Buffers;

use crate::wipe::Zeroizing;

/// Two buffers, allocated at the first use. On an idle connection they are wiped.
pub(super) struct WipedBuffers {
    input_size: usize,
    output_size: usize,
    input: Zeroizing<Vec<u8>>,
    /// ureq has not read `input[consumed..filled]` yet.
    consumed: usize,
    filled: usize,
    output: Zeroizing<Vec<u8>>,
    /// ureq consumed something the last time that it read the input.
    progress: bool,
}

impl WipedBuffers {
    pub(super) fn new(input_size: usize, output_size: usize) -> Self {
        WipedBuffers {
            input_size,
            output_size,
            input: Zeroizing::default(),
            consumed: 0,
            filled: 0,
            output: Zeroizing::default(),
            progress: false,
        }
    }

    /// Moves what ureq wrote from the output to the end of `to`.
    pub(super) fn take_output(&mut self, amount: usize, to: &mut Vec<u8>) {
        let written = &mut self.output[..amount];
        to.extend_from_slice(written);
        // The buffer stays in use, so the compiler cannot drop this.
        written.fill(0);
    }

    fn ensure_input(&mut self) {
        if self.input.is_empty() {
            self.input.resize(self.input_size, 0);
        }
    }

    /// Makes room for at least `size` bytes of output, and at least for the usual request.
    pub(super) fn ensure_output(&mut self, size: usize) {
        let size = size.max(self.output_size);
        if self.output.len() < size {
            self.output.resize(size, 0);
        }
    }
}

impl Buffers for WipedBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.ensure_output(0);
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.ensure_input();
        if self.consumed > 0 {
            self.input.copy_within(self.consumed..self.filled, 0);
            let left = self.filled - self.consumed;
            self.input[left..self.filled].fill(0);
            (self.consumed, self.filled) = (0, left);
        }
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.input[self.consumed..self.consumed + amount].fill(0);
        self.consumed += amount;
        if self.consumed == self.filled {
            (self.consumed, self.filled) = (0, 0);
        }
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.ensure_input();
        self.ensure_output(0);
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.filled > self.consumed && self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_wiped_as_it_is_read_in_pieces() {
        let mut buffers = WipedBuffers::new(8, 8);
        buffers.input_append_buf()[..6].copy_from_slice(b"secret");
        buffers.input_appended(6);
        assert_eq!(buffers.input(), b"secret");
        assert!(!buffers.can_use_input(), "nothing was consumed yet");
        buffers.input_consume(2);
        assert!(buffers.can_use_input());
        assert_eq!(buffers.input(), b"cret");
        assert_eq!(buffers.input_append_buf().len(), 4, "consumed bytes make room");
        assert_eq!(&buffers.input[..], b"cret\0\0\0\0");
        buffers.input_consume(0);
        assert!(!buffers.can_use_input());
        buffers.input_consume(4);
        assert_eq!(&buffers.input[..], &[0; 8]);
        assert_eq!(buffers.input_append_buf().len(), 8);
    }

    #[test]
    fn output_is_wiped_once_taken() {
        let mut buffers = WipedBuffers::new(8, 8);
        buffers.output()[..6].copy_from_slice(b"secret");
        let mut taken = Vec::new();
        buffers.take_output(6, &mut taken);
        assert_eq!(taken, b"secret");
        assert_eq!(&buffers.output[..], &[0; 8]);
    }
}
