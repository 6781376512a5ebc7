#!/usr/bin/env bash
# Rebuilds every guest and its checksum. Debian: apt-get install clang lld wabt wasi-libc libclang-rt-dev-wasm32 zstd rustc libstd-rust-dev-wasm32
set -euo pipefail
cd "$(dirname "$0")"
RUSTC=${RUSTC:-rustc}
for c in clang wasm-ld wat2wasm zstd go "$RUSTC"; do command -v $c >/dev/null || { echo "missing: $c"; exit 1; }; done

free=(clang --target=wasm32 -O2 -nostdlib -fno-builtin -Wl,--no-entry -Wl,--export=__heap_base)
"${free[@]}" -o hash-puzzle.wasm src/hash-puzzle.c
"${free[@]}" -o echo.wasm src/echo.c
"${free[@]}" -o kernels.wasm src/kernels.c
"${free[@]}" -Wl,-z,stack-size=4096 -o small-call.wasm src/small-call.c
"${free[@]}" -Wl,-z,stack-size=4096 -o small-extism.wasm src/small-extism.c
"${free[@]}" -Wl,--import-memory -o adder.wasm src/adder.c
clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o c-hello.wasm src/c-hello.c
GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o go-hello.wasm src/go-hello/main.go
# Apps: they import troupe_v1.
for f in c-handler c-service; do "${free[@]}" -Wl,-z,stack-size=4096 -o $f.wasm src/$f.c; done
"${free[@]}" -o conformance.wasm src/conformance.c
for f in c-cgi counter bench-app; do clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o $f.wasm src/$f.c; done
"$RUSTC" --target wasm32-unknown-unknown -O -C panic=abort -C linker=wasm-ld -C link-arg=-s --crate-type cdylib -o rust-app.wasm src/rust-app.rs
app=(env GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=')
"${app[@]}" -o go-app.wasm ./src/go-app
"${app[@]}" -buildmode=c-shared -o go-handler.wasm ./src/go-handler

for f in src/*.wat; do wat2wasm "$f" -o "$(basename "${f%.wat}").wasm"; done

printf '\0asm\x0d\0\x01\0' >component.wasm
printf 'this is not WebAssembly\n' >not-wasm.wasm
head -c 200 hash-puzzle.wasm >truncated.wasm
printf '\0asm\x02\0\0\0' >wrong-version.wasm
# type () -> i32; one function whose body returns nothing
printf '\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b' >bad-body.wasm
prefix='\x52\xbc\x53\x76\x46\xdb\x8e\x05'
{ printf "$prefix"; zstd -q -19 -c echo.wasm; } >echo-zstd.wasm
{ printf "$prefix"; head -c 268435456 /dev/zero | zstd -q -19 -c; } >bomb-zstd.wasm
sha256sum -- *.wasm >SHA256SUMS
