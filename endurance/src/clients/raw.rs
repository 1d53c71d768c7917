//! Well-behaved clients of protocols that are not HTTP: their servers give back what they say.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::bytes::{client_hello, POSTGRES, POSTGRES_SSL, SOCKS5, SSH};
use super::http1::open;
use super::io::ClientIo;
use super::{Heard, Stage};
use crate::backends::raw::BANNER;
use crate::books::Expect;
use crate::random::{pattern, Random};

pub(crate) async fn tls(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "tls", Expect::routed("tls"), random).await?;
    let hello = client_hello("soak.test", random.next().to_be_bytes());
    talk(stage, &mut io, hello, random).await
}

pub(crate) async fn ssh(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "ssh", Expect::routed("ssh"), random).await?;
    io.say(SSH).await?;
    io.hear(BANNER).await?;
    io.hear(SSH).await?;
    talk(stage, &mut io, Vec::new(), random).await
}

pub(crate) async fn postgres(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "postgres", Expect::routed("postgres"), random).await?;
    let first = if random.one_in(2) { POSTGRES } else { POSTGRES_SSL };
    talk(stage, &mut io, first.to_vec(), random).await
}

pub(crate) async fn socks5(stage: Stage<'_>, random: &mut Random) -> Heard {
    let mut io = open(stage, "socks5", Expect::routed("socks5"), random).await?;
    talk(stage, &mut io, SOCKS5.to_vec(), random).await
}

/// A client that waits for its server to speak. The front of requests has no route for it: there it waits in vain.
pub(crate) async fn server_first(stage: Stage<'_>, random: &mut Random) -> Heard {
    if stage.front.is_per_request() {
        return super::stalled::silent(stage, random).await;
    }
    let mut io = open(stage, "server-first", Expect::routed("server-first"), random).await?;
    io.hear(BANNER).await?;
    talk(stage, &mut io, SSH.to_vec(), random).await
}

/// Says the opening and more, in both directions at once, ends its side, and gets all of it back.
async fn talk(stage: Stage<'_>, io: &mut ClientIo, opening: Vec<u8>, random: &mut Random) -> Heard {
    let more = pattern(random.next(), random.size(300_000));
    if random.one_in(3) {
        io.say(&opening).await?;
        io.hear(&opening).await?;
        sleep(random.millis(100)).await;
        both_ways(io, &more).await?;
    } else {
        both_ways(io, &[opening, more].concat()).await?;
    }
    stage.counts.answered();
    io.finish().await
}

async fn both_ways(io: &mut ClientIo, said: &[u8]) -> Heard {
    let (mut reader, mut writer) = tokio::io::split(io);
    let write = async { writer.write_all(said).await.map_err(|error| format!("could not write: {error}")) };
    let read = async {
        let mut heard = vec![0; said.len()];
        reader.read_exact(&mut heard).await.map_err(|error| format!("could not read: {error}"))?;
        if heard == said {
            Ok(())
        } else {
            Err("what came back is not what was said".to_owned())
        }
    };
    tokio::try_join!(write, read).map(|_| ())
}
