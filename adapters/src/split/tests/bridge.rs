use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use oneport_core::split::ConnectionEnd;
use oneport_core::wire::frame::ErrorCode;

use super::super::bridge::{bridge, BridgeEnd};
use super::super::link::link;
use super::{words, Task};

#[test]
fn the_end_is_told_once_and_stays() {
    let ends = [
        (Some(ConnectionEnd::Clean), BridgeEnd::Clean),
        (Some(ConnectionEnd::Cut), BridgeEnd::Cut),
        (
            Some(ConnectionEnd::Fault(ErrorCode::FRAME_SIZE_ERROR)),
            BridgeEnd::Fault(ErrorCode::FRAME_SIZE_ERROR),
        ),
        (None, BridgeEnd::Cut),
    ];
    for (how, end) in ends {
        let (_server, hop) = link();
        let (mut hop, mut told) = bridge(hop);
        let task = Task::new();
        assert!(Pin::new(&mut told).poll(&mut task.cx()).is_pending());
        if let Some(how) = how {
            hop.close(how);
        }
        drop(hop);
        assert!(task.was_woken());
        for _ in 0..2 {
            assert_eq!(Pin::new(&mut told).poll(&mut task.cx()), Poll::Ready(end));
        }
    }
}

#[test]
fn who_does_not_want_to_know_changes_nothing() {
    let (server, hop) = link();
    let (mut hop, told) = bridge(hop);
    drop(told);
    let task = Task::new();
    let (mut batch, bytes) = words();
    assert!(hop.poll_send(&mut task.cx(), &mut batch).is_pending());
    let mut read = Vec::new();
    assert!(server.poll_read(&task.cx(), 1_000, |slice| read.extend_from_slice(slice)).is_ready());
    assert_eq!(read, bytes);
    assert!(server.poll_write(&task.cx(), [&b"answer"[..]].into_iter()).is_ready());
    assert!(matches!(hop.poll_receive(&mut task.cx()), Poll::Ready(Ok(bytes)) if bytes == "answer"));
}
