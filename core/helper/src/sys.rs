//! The system calls of the program.
//!
//! # Safety
//! All `unsafe` of the program is here and in the files below `sys/`. One
//! macro makes the calls; each wrapper hands it numbers and addresses of
//! references that live through the call, so what the kernel writes stays
//! inside what Rust lent it. The exceptions say so: `map_plan` and
//! `shared_status` adopt memory that the kernel has just made.
//!
//! Every descriptor made here is close-on-exec.

mod arch;
mod attempt;
mod clone;
mod fs;
mod identity;
mod landlock;
mod process;
mod resolve;
mod socket;
#[cfg(not(any(test, clippy)))]
mod start;

pub(crate) use attempt::*;
pub(crate) use clone::*;
pub(crate) use fs::*;
pub(crate) use identity::*;
pub(crate) use landlock::*;
pub(crate) use process::*;
pub(crate) use socket::*;

use core::ffi::CStr;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// A kernel error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const EPERM: Errno = Errno(1);
    pub(crate) const ENOENT: Errno = Errno(2);
    pub(crate) const ESRCH: Errno = Errno(3);
    pub(crate) const EINTR: Errno = Errno(4);
    pub(crate) const ENXIO: Errno = Errno(6);
    pub(crate) const E2BIG: Errno = Errno(7);
    pub(crate) const EAGAIN: Errno = Errno(11);
    pub(crate) const EACCES: Errno = Errno(13);
    pub(crate) const EBUSY: Errno = Errno(16);
    pub(crate) const EEXIST: Errno = Errno(17);
    pub(crate) const EXDEV: Errno = Errno(18);
    pub(crate) const ENOTDIR: Errno = Errno(20);
    pub(crate) const EISDIR: Errno = Errno(21);
    pub(crate) const EINVAL: Errno = Errno(22);
    pub(crate) const EMFILE: Errno = Errno(24);
    pub(crate) const ENAMETOOLONG: Errno = Errno(36);
    pub(crate) const ENOSYS: Errno = Errno(38);
    pub(crate) const ETIMEDOUT: Errno = Errno(110);
    pub(crate) const ECANCELED: Errno = Errno(125);
    pub(crate) const ELOOP: Errno = Errno(40);
    pub(crate) const ESTALE: Errno = Errno(116);

    /// Whether a call may be missing: an old kernel says ENOSYS, a filter that
    /// somebody has put around the host often EPERM. Where it is a real EPERM,
    /// the older call that is tried then says so too.
    pub(crate) const fn is_missing(self) -> bool {
        matches!(self, Errno::ENOSYS | Errno::EPERM)
    }
}

pub(crate) type Result<T> = core::result::Result<T, Errno>;

/// Makes one system call with up to six arguments.
macro_rules! call {
    ($nr:ident $(, $a:expr)* $(,)?) => {{
        let a = crate::sys::six(&[$($a),*]);
        // SAFETY: see the head of sys.rs: addresses come from references that
        // live through this call and have the size that the call is told.
        let ret = unsafe { crate::sys::arch::syscall(crate::sys::arch::nr::$nr, a) };
        crate::sys::result(ret)
    }};
}
pub(crate) use call;

/// Arguments in their registers; those that a call does not have are zero.
const fn six(some: &[usize]) -> [usize; 6] {
    match *some {
        [a] => [a, 0, 0, 0, 0, 0],
        [a, b] => [a, b, 0, 0, 0, 0],
        [a, b, c] => [a, b, c, 0, 0, 0],
        [a, b, c, d] => [a, b, c, d, 0, 0],
        [a, b, c, d, e] => [a, b, c, d, e, 0],
        [a, b, c, d, e, f] => [a, b, c, d, e, f],
        _ => [0; 6],
    }
}

/// −4095…−1 are errors; all else is a result (syscall(2), "ABI differences").
fn result(ret: isize) -> Result<usize> {
    match i32::try_from(ret) {
        Ok(error @ -4095..=-1) => Err(Errno(error.wrapping_neg())),
        _ => Ok(ret.cast_unsigned()),
    }
}

/// A register's worth of a signed number.
pub(crate) const fn signed(number: i32) -> usize {
    (number as isize).cast_unsigned()
}

/// A register's worth of flags: registers have 64 bits wherever this runs.
pub(crate) const fn wide(number: u64) -> usize {
    let [a, b, c, d, e, f, g, h] = number.to_ne_bytes();
    usize::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// The address of something that Rust lends to the kernel. "Exposed", so that
/// the compiler knows that a system call may read it.
pub(crate) fn address<T: ?Sized>(of: &T) -> usize {
    core::ptr::from_ref(of).cast::<()>().expose_provenance()
}

/// The address of something that the kernel may write to.
pub(crate) fn address_mut<T: ?Sized>(of: &mut T) -> usize {
    core::ptr::from_mut(of).cast::<()>().expose_provenance()
}

pub(crate) fn text(string: &CStr) -> usize {
    string.as_ptr().expose_provenance()
}

/// Copies as many bytes as both have; unlike `copy_from_slice` it cannot panic.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// A descriptor; closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(i32);

impl Fd {
    /// The current directory, for the `*at` calls.
    pub(crate) const CWD: BorrowedFd = BorrowedFd(-100);

    /// Takes over a descriptor that the host handed down.
    pub(crate) const fn adopt(number: i32) -> Fd {
        Fd(number)
    }

    fn made(ret: usize) -> Result<Fd> {
        i32::try_from(ret).map(Fd).map_err(|_| Errno::EINVAL)
    }

    pub(crate) const fn borrow(&self) -> BorrowedFd {
        BorrowedFd(self.0)
    }

    /// Closes it now, for ends whose closing somebody waits for.
    pub(crate) fn close(self) -> Result<()> {
        let number = self.0;
        core::mem::forget(self);
        call!(CLOSE, signed(number)).map(drop)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = call!(CLOSE, signed(self.0));
    }
}

/// A descriptor that somebody else closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BorrowedFd(pub(crate) i32);

impl BorrowedFd {
    pub(crate) const fn raw(self) -> usize {
        signed(self.0)
    }
}

/// The plan behind descriptor `number`: a private mapping for the life of the
/// process. The file is sealed, so it neither shrinks nor changes.
pub(crate) fn map_plan(number: i32) -> Result<&'static [u8]> {
    const PROT_READ: usize = 1;
    const MAP_PRIVATE: usize = 2;
    let size = stat(BorrowedFd(number))?.size;
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let at = call!(MMAP, 0, size, PROT_READ, MAP_PRIVATE, signed(number), 0)?;
    let start: *const u8 = core::ptr::with_exposed_provenance(at);
    // SAFETY: the kernel has just mapped `size` readable bytes there, they are
    // never unmapped, and the seal keeps them from changing.
    Ok(unsafe { core::slice::from_raw_parts(start, size) })
}

/// What pid 1 and the program tell without a system call: a page that they
/// share with the monitor.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Status {
    /// 1 once `wait` is valid.
    pub(crate) ended: AtomicU32,
    /// The program's wait status.
    pub(crate) wait: AtomicI32,
    /// The descriptor of the listener plus one, once there is one.
    pub(crate) listener: AtomicI32,
    /// The eight bytes of a fault behind the filter of system calls, where
    /// nothing can be sent; 0 is none.
    pub(crate) fault: AtomicU64,
}

/// A new page shared with every later child.
pub(crate) fn shared_status() -> Result<&'static Status> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_SHARED_ANONYMOUS: usize = 0x21;
    let at =
        call!(MMAP, 0, size_of::<Status>(), PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, signed(-1), 0)?;
    let status: *const Status = core::ptr::with_exposed_provenance(at);
    // SAFETY: a fresh mapping, zeroed, aligned to a page, never unmapped; its
    // fields are atomics, for which zero is a value.
    Ok(unsafe { &*status })
}

/// A table of `count` addresses that ends in a null, for execve.
pub(crate) struct Pointers<'a> {
    table: &'static mut [usize],
    used: usize,
    strings: PhantomData<&'a CStr>,
}

impl<'a> Pointers<'a> {
    /// Room for `count` addresses.
    pub(crate) fn with_room(count: usize) -> Result<Pointers<'a>> {
        const PROT_READ_WRITE: usize = 3;
        const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
        let words = count.checked_add(1).ok_or(Errno::EINVAL)?;
        let size = words.checked_mul(size_of::<usize>()).ok_or(Errno::EINVAL)?;
        let at = call!(MMAP, 0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, signed(-1), 0)?;
        let start: *mut usize = core::ptr::with_exposed_provenance_mut(at);
        // SAFETY: a fresh mapping of `size` zeroed bytes that is never
        // unmapped and that nothing else refers to.
        let table = unsafe { core::slice::from_raw_parts_mut(start, words) };
        Ok(Pointers { table, used: 0, strings: PhantomData })
    }

    /// Appends the address of a string; the last word stays null.
    pub(crate) fn push(&mut self, string: &'a CStr) -> Result<()> {
        let room = self.table.len().saturating_sub(1);
        let slot = self.table.get_mut(..room).and_then(|table| table.get_mut(self.used));
        *slot.ok_or(Errno::EINVAL)? = text(string);
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    pub(crate) fn start(&self) -> usize {
        self.table.as_ptr().expose_provenance()
    }
}
