// SPDX-License-Identifier: Apache-2.0
//! How the agent comes by the memory of the module: from the httpd that started it, or over a socket.

use std::io;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use super::News;
use crate::shared::{HandedOver, Link, redirect_standard_error};

/// Who has the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// There is no module.
    None,
    /// The httpd that started this process: the descriptor it left open.
    Inherited(RawFd),
    /// An httpd that listens there (`MargayAgentSocket`).
    Socket(PathBuf),
}

/// How long until the next try to reach an httpd that is not there.
const PAUSE: Duration = Duration::from_secs(1);

/// Has what is handed over sent on, for the life of the process. False if there is nobody to hand over.
///
/// # Errors
/// The descriptor is not the one of httpd, or the system has no more threads.
pub(super) fn listen(way: Way, to: UnboundedSender<News>) -> io::Result<bool> {
    let name = || thread::Builder::new().name("httpd".to_owned());
    match way {
        Way::None => return Ok(false),
        Way::Inherited(number) => {
            let link = Link::inherited(number)?;
            name().spawn(move || serve(&link, &to))?;
        }
        Way::Socket(path) => {
            name().spawn(move || reconnect(&path, &to))?;
        }
    }
    Ok(true)
}

/// Children of httpd come and go, and httpd itself may: whoever is there has the memory.
fn reconnect(path: &std::path::Path, to: &UnboundedSender<News>) {
    let mut was_there = true;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                was_there = true;
                if !serve(&Link::of(stream), to) {
                    return;
                }
            }
            Err(error) if was_there => {
                was_there = false;
                warn!(path = %path.display(), %error, "httpd is not there; it is asked again every second");
            }
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
}

/// Takes what comes over one connection; false once nobody listens any more.
fn serve(link: &Link, to: &UnboundedSender<News>) -> bool {
    loop {
        match link.receive() {
            Ok(Some(Ok(HandedOver::Region(region)))) => {
                if to.send(News::Memory(region)).is_err() {
                    return false;
                }
            }
            Ok(Some(Ok(HandedOver::Log(log)))) => match redirect_standard_error(log) {
                Ok(()) => info!("httpd was restarted"),
                Err(error) => warn!(%error, "the log cannot be changed"),
            },
            Ok(Some(Err(refusal))) => {
                error!(%refusal, "the module in httpd cannot be told who lives; everything else goes on");
            }
            Ok(None) => return true,
            Err(error) => {
                warn!(%error, "the connection to httpd failed");
                return true;
            }
        }
    }
}
