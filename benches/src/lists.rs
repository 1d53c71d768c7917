//! Header lists of real peers, and blocks made of them.

use std::ops::ControlFlow;

use oneport_core::wire::hpack::{Decoder, Encoder, Field, Limits, DEFAULT_TABLE_SIZE};

use crate::blocks::first_block;
use crate::flights;

/// No block here comes near.
pub const LIMITS: Limits = Limits { max_list_size: 256 << 10, max_string_len: 64 << 10 };

/// A field of its own memory.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Owned {
    name: Vec<u8>,
    value: Vec<u8>,
    never_indexed: bool,
}

/// The fields of one message, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct List(Vec<Owned>);

impl List {
    /// A list of fields that may be indexed.
    pub fn new(fields: &[(&str, &str)]) -> Self {
        let owned = |&(name, value): &(&str, &str)| Owned {
            name: name.into(),
            value: value.into(),
            never_indexed: false,
        };
        Self(fields.iter().map(owned).collect())
    }

    /// What the first block of a recorded client says.
    ///
    /// # Panics
    /// If there is no such flight, or no block in it.
    pub fn of_flight(name: &str) -> Self {
        let flight = flights::all().into_iter().find(|flight| flight.name == name).expect("a flight");
        let block = first_block(&flight.bytes()).expect("a header block");
        Self::decode(&mut Decoder::new(DEFAULT_TABLE_SIZE), &block)
    }

    /// The next list of a connection.
    ///
    /// # Panics
    /// If the block is malformed.
    pub fn decode(decoder: &mut Decoder, block: &[u8]) -> Self {
        let mut list = Vec::new();
        let decoded = decoder.decode(block, &LIMITS, |field| {
            let Field { name, value, never_indexed } = field;
            list.push(Owned { name: name.to_vec(), value: value.to_vec(), never_indexed });
            ControlFlow::Continue(())
        });
        decoded.expect("well-formed");
        Self(list)
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.0.iter().map(|field| Field {
            name: &field.name,
            value: &field.value,
            never_indexed: field.never_indexed,
        })
    }

    /// The next block of a connection.
    pub fn block(&self, encoder: &mut Encoder) -> Vec<u8> {
        let mut block = Vec::new();
        encoder.encode(self.fields(), &mut block);
        block
    }

    /// The same list as the `number`th request of a connection has it: what is another for each request differs.
    #[must_use]
    pub fn varied(&self, number: usize) -> Self {
        let mut list = self.clone();
        for field in &mut list.0 {
            match &field.name[..] {
                b"x-request-id" | b"traceparent" => {
                    let end = field.value.len().min(8);
                    field.value[..end]
                        .copy_from_slice(&format!("{:08x}", number * 0x0765_4321).as_bytes()[..end]);
                }
                // It counts down from the caller's deadline.
                b"grpc-timeout" => field.value = format!("{}u", 998_000 + 7 * number).into_bytes(),
                _ => {}
            }
        }
        list
    }
}
