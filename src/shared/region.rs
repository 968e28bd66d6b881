// SPDX-License-Identifier: Apache-2.0
//! Making, mapping and checking the region.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::administered::{BalancerChanges, MemberChanges};
use super::agent::AgentSlot;
use super::balancer::BalancerSlot;
use super::checks::CheckChanges;
use super::jk::{JkBalancerSlot, JkMemberSlot};
use super::layout::{BalancerSlotId, Layout, MAGIC, MemberSlotId, SIZE, VERSION};
use super::member::MemberSlot;
use super::place::MemberPlace;

/// The mapping. Children of a fork see the same memory; another process can map it by its descriptor.
pub struct Region {
    base: NonNull<Layout>,
    /// `None` for memory that only forked children can share.
    file: Option<File>,
}

// SAFETY: the memory behind `base` holds nothing but atomics, and stays mapped until drop.
unsafe impl Send for Region {}
// SAFETY: as above; every access through a shared reference is an atomic operation.
unsafe impl Sync for Region {}

const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

impl Region {
    /// A new empty region behind a descriptor that closes on exec and whose size can never change, so that no
    /// process can cut it under the others.
    ///
    /// # Errors
    /// The system's refusal of the descriptor, its size, its seals or the mapping.
    pub fn create() -> io::Result<Region> {
        let file = File::from(memory_file()?);
        file.set_len(SIZE as u64)?;
        seal(&file)?;
        let base = map(Some(&file))?;
        Ok(Region::prepared(base, Some(file)))
    }

    /// A new empty region without a descriptor: shared with forked children only. For tests, and for systems that
    /// refuse [`Region::create`].
    ///
    /// # Errors
    /// The system's refusal of the mapping.
    pub fn private() -> io::Result<Region> {
        Ok(Region::prepared(map(None)?, None))
    }

    /// Maps the region behind a descriptor that another process made.
    ///
    /// # Errors
    /// The system's refusal, or what is wrong with the memory: size, seals, magic or layout version.
    pub fn attach(fd: OwnedFd) -> Result<Region, RegionError> {
        let file = File::from(fd);
        let found = file.metadata().map_err(RegionError::System)?.len();
        if found != SIZE as u64 {
            return Err(RegionError::Size { found });
        }
        if seals(&file) & SEALS != SEALS {
            return Err(RegionError::Unsealed);
        }
        let region = Region { base: map(Some(&file)).map_err(RegionError::System)?, file: Some(file) };
        region.check()?;
        Ok(region)
    }

    /// The descriptor, for handing the region to another program.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(File::as_fd)
    }

    pub fn member(&self, slot: MemberSlotId) -> &MemberSlot {
        &self.layout().members[slot.index()]
    }

    pub fn balancer(&self, slot: BalancerSlotId) -> &BalancerSlot {
        &self.layout().balancers[slot.index()]
    }

    /// What mod_jk's lines know of a member.
    pub fn jk_member(&self, slot: MemberSlotId) -> &JkMemberSlot {
        &self.layout().jk_members[slot.index()]
    }

    /// What mod_jk's lines know of a balancer.
    pub fn jk_balancer(&self, slot: BalancerSlotId) -> &JkBalancerSlot {
        &self.layout().jk_balancers[slot.index()]
    }

    /// What an administrator changed about a member.
    pub fn member_changes(&self, slot: MemberSlotId) -> &MemberChanges {
        &self.layout().member_changes[slot.index()]
    }

    /// What an administrator changed about the health checks of a member.
    pub fn check_changes(&self, slot: MemberSlotId) -> &CheckChanges {
        &self.layout().check_changes[slot.index()]
    }

    /// The URL of a member that was added, if the slot is one for such a member.
    pub fn place(&self, slot: MemberSlotId) -> &MemberPlace {
        &self.layout().places[slot.index()]
    }

    /// What an administrator changed about a balancer.
    pub fn balancer_changes(&self, slot: BalancerSlotId) -> &BalancerChanges {
        &self.layout().balancer_changes[slot.index()]
    }

    /// The agent that says who lives.
    pub fn agent(&self) -> &AgentSlot {
        &self.layout().agent
    }

    /// Generation of the newest configuration that was bound; 0 before the first.
    pub fn generation(&self) -> u32 {
        self.layout().header.generation.load(Acquire)
    }

    pub(super) fn layout(&self) -> &Layout {
        // SAFETY: `base` is a live, page-aligned mapping of SIZE bytes, at least a Layout (asserted); a Layout is
        // atomics only, for which every bit pattern is valid.
        unsafe { self.base.as_ref() }
    }

    fn prepared(base: NonNull<Layout>, file: Option<File>) -> Region {
        let region = Region { base, file };
        let header = &region.layout().header;
        header.version.store(VERSION, Relaxed);
        header.size.store(SIZE as u64, Relaxed);
        header.magic.store(MAGIC, Release);
        region
    }

    fn check(&self) -> Result<(), RegionError> {
        let header = &self.layout().header;
        if header.magic.load(Acquire) != MAGIC {
            return Err(RegionError::Foreign);
        }
        let (version, size) = (header.version.load(Relaxed), header.size.load(Relaxed));
        if version != VERSION || size != SIZE as u64 {
            return Err(RegionError::Version { found: version });
        }
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), SIZE) };
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("fd", &self.file).field("generation", &self.generation()).finish()
    }
}

fn memory_file() -> io::Result<OwnedFd> {
    const NAME: &std::ffi::CStr = c"margay";
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Systems may insist on "never executable"; older ones do not know the flag.
    for flags in [flags | libc::MFD_NOEXEC_SEAL, flags] {
        // SAFETY: NAME is a C string that lives for ever.
        let fd = unsafe { libc::memfd_create(NAME.as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: a descriptor just made, owned by nobody else.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    Err(io::Error::last_os_error())
}

fn seal(file: &File) -> io::Result<()> {
    // SAFETY: plain call on an open descriptor.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The seals of a file; none for a file that cannot have any.
fn seals(file: &File) -> libc::c_int {
    // SAFETY: plain call on an open descriptor.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    seals.max(0)
}

fn map(file: Option<&File>) -> io::Result<NonNull<Layout>> {
    let (fd, kind) = match file {
        Some(file) => (file.as_raw_fd(), libc::MAP_SHARED),
        None => (-1, libc::MAP_SHARED | libc::MAP_ANONYMOUS),
    };
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the system's choice touches nothing that exists.
    let base = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, kind, fd, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("the system mapped address zero"))
}

/// Why a descriptor is not a usable region.
#[derive(Debug)]
pub enum RegionError {
    /// The system's own refusal.
    System(io::Error),
    /// Not the size of a region.
    Size { found: u64 },
    /// The size could still be changed by another process.
    Unsealed,
    /// No magic number.
    Foreign,
    /// Made by a build with another layout.
    Version { found: u32 },
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "the shared memory cannot be used: {error}"),
            Self::Size { found } => {
                write!(f, "the shared memory has {found} bytes where {SIZE} are expected")
            }
            Self::Unsealed => f.write_str("the shared memory is not sealed against resizing"),
            Self::Foreign => f.write_str("the descriptor is not the shared memory of this module"),
            Self::Version { found } => write!(
                f,
                "the shared memory has layout {found}, this build knows layout {VERSION}: install module and program of the same release, and do a full restart of httpd"
            ),
        }
    }
}

impl std::error::Error for RegionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_region_cannot_be_resized() {
        let region = Region::create().unwrap();
        let file = region.file.as_ref().unwrap();
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(2 * SIZE as u64).is_err());
    }

    #[test]
    fn the_descriptor_closes_on_exec() {
        let region = Region::create().unwrap();
        // SAFETY: plain call on an open descriptor.
        let flags = unsafe { libc::fcntl(region.fd().unwrap().as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }

    #[test]
    fn a_second_mapping_sees_the_same_memory() {
        let region = Region::create().unwrap();
        let other = Region::attach(region.fd().unwrap().try_clone_to_owned().unwrap()).unwrap();
        region.layout().members[5].count_error();
        assert_eq!(other.layout().members[5].errors(), 1);
    }

    #[test]
    fn foreign_memory_is_refused() {
        let short = File::from(memory_file().unwrap());
        assert!(matches!(Region::attach(short.into()), Err(RegionError::Size { found: 0 })));

        let open = File::from(memory_file().unwrap());
        open.set_len(SIZE as u64).unwrap();
        assert!(matches!(Region::attach(open.into()), Err(RegionError::Unsealed)));

        let empty = File::from(memory_file().unwrap());
        empty.set_len(SIZE as u64).unwrap();
        seal(&empty).unwrap();
        assert!(matches!(Region::attach(empty.into()), Err(RegionError::Foreign)));

        let region = Region::create().unwrap();
        region.file.as_ref().unwrap().write_all_at(&9u32.to_ne_bytes(), 8).unwrap();
        let copy = region.fd().unwrap().try_clone_to_owned().unwrap();
        assert!(matches!(Region::attach(copy), Err(RegionError::Version { found: 9 })));
    }
}
