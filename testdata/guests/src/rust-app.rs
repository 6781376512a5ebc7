//! A handler in Rust, without its standard library: a query with the path "put/KEY" keeps its payload in the app's key-value space,
//! "get/KEY" returns it, "len" tells how long the payload is, and anything else returns it as it is.
#![no_std]

use core::slice;

#[link(wasm_import_module = "troupe_v1")]
extern "C" {
    fn kv_get(key: *const u8, key_len: usize, out: *mut u8, room: usize, size: *mut u64) -> u32;
    fn kv_put(key: *const u8, key_len: usize, value: *const u8, value_len: usize) -> u32;
    fn log(level: u32, text: *const u8, text_len: usize) -> u32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

const ROOM: usize = 64 << 10;
static mut OUT: [u8; ROOM] = [0; ROOM];

fn result(b: &[u8]) -> u64 {
    (b.len() as u64) << 32 | b.as_ptr() as u64
}

/// Splits behind a newline; without one, all is before it.
fn line(b: &[u8]) -> (&[u8], &[u8]) {
    match b.iter().position(|c| *c == b'\n') {
        Some(i) => (&b[..i], &b[i + 1..]),
        None => (b, &[]),
    }
}

fn failed(what: &[u8]) -> u64 {
    unsafe { log(1, what.as_ptr(), what.len()) };
    result(what)
}

/// The host puts path, origin and payload at ptr, with a newline behind each of the first two.
#[no_mangle]
pub extern "C" fn query(ptr: *const u8, len: usize) -> u64 {
    let (path, rest) = line(unsafe { slice::from_raw_parts(ptr, len) });
    let (_origin, payload) = line(rest);
    if let Some(key) = path.strip_prefix(b"put/") {
        let e = unsafe { kv_put(key.as_ptr(), key.len(), payload.as_ptr(), payload.len()) };
        return if e == 0 { result(b"kept") } else { failed(b"kv_put failed") };
    }
    if let Some(key) = path.strip_prefix(b"get/") {
        let mut size = 0u64;
        let e = unsafe { kv_get(key.as_ptr(), key.len(), OUT.as_mut_ptr(), ROOM, &mut size) };
        return if e == 0 { result(unsafe { &OUT[..(size as usize).min(ROOM)] }) } else { failed(b"kv_get failed") };
    }
    if path == b"len" {
        let mut digits = [0u8; 10];
        let (mut n, mut i) = (payload.len(), 10);
        loop {
            i -= 1;
            digits[i] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        unsafe { OUT[..10 - i].copy_from_slice(&digits[i..]) };
        return result(unsafe { &OUT[..10 - i] });
    }
    result(payload)
}
