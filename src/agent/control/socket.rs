// SPDX-License-Identifier: Apache-2.0
//! The socket in the file system: its owner's alone, never through a link, never in the place of something else.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the agent cannot be asked anything.
#[derive(Debug)]
pub enum ControlError {
    /// An agent answers there.
    InUse {
        path: PathBuf,
    },
    /// Something else has that name.
    NoSocket {
        path: PathBuf,
    },
    Io {
        path: PathBuf,
        error: io::Error,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = "[control] socket says where it is";
        match self {
            Self::InUse { path } => {
                write!(f, "another agent has the control socket {}; {hint}", path.display())
            }
            Self::NoSocket { path } => write!(
                f,
                "{} is no socket and stays as it is, so nobody can ask this agent anything; {hint}",
                path.display()
            ),
            Self::Io { path, error } => {
                write!(f, "the control socket {} cannot be made: {error}; {hint}", path.display())
            }
        }
    }
}

impl std::error::Error for ControlError {}

/// A socket that is removed when this is dropped, if it is still ours.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: UnixListener,
    path: PathBuf,
    file: (u64, u64),
    /// The user who may ask, beside root.
    pub(super) owner: u32,
}

/// Makes the socket, in the place of one that nobody listens at any more.
///
/// # Errors
/// Another agent listens there, something else has that name, or the system refuses.
pub fn listen(path: &Path) -> Result<Listener, ControlError> {
    let failed = |error| ControlError::Io { path: path.to_owned(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
    }
    look_at_place(path)?;
    // Under another name until only its owner may open it; the new name takes the place of the old socket at once.
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(name);
    let _ = fs::remove_file(&fresh);
    let socket = UnixListener::bind(&fresh).map_err(failed)?;
    let finish = || -> io::Result<fs::Metadata> {
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
        fs::rename(&fresh, path)?;
        fs::symlink_metadata(path)
    };
    let about = finish().map_err(|error| {
        let _ = fs::remove_file(&fresh);
        failed(error)
    })?;
    Ok(Listener { socket, path: path.to_owned(), file: (about.dev(), about.ino()), owner: about.uid() })
}

fn look_at_place(path: &Path) -> Result<(), ControlError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ControlError::Io { path: path.to_owned(), error }),
        Ok(about) if !about.file_type().is_socket() => Err(ControlError::NoSocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(ControlError::Io { path: path.to_owned(), error }),
            Ok(_) => Err(ControlError::InUse { path: path.to_owned() }),
        },
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|about| (about.dev(), about.ino()) == self.file);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("margay-control-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn only_its_owner_may_open_the_socket_and_it_goes_with_the_agent() {
        let path = folder("rights").join("agent.sock");
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(listen(&path), Err(ControlError::InUse { .. })));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_agent_left_is_replaced() {
        let path = folder("stale").join("agent.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _listener = listen(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn links_and_files_stay_as_they_are() {
        let folder = folder("others");
        let target = folder.join("target");
        fs::write(&target, "mine").unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for path in [&link, &target] {
            assert!(matches!(listen(path), Err(ControlError::NoSocket { .. })));
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
