//! Ed25519 and SHA-256 of Zig's standard library, for C: what signature.c checks a bundle with. Linked into gait-run
//! alone, never into the library.
const std = @import("std");
const Ed25519 = std.crypto.sign.Ed25519;
const Sha256 = std.crypto.hash.sha2.Sha256;

/// Whether `signature` of `text` was made with the private half of `key`; without the cofactor, as OpenSSL checks it.
export fn ed25519_holds(text: [*]const u8, size: usize, signature: *const [64]u8, key: *const [32]u8) bool {
    const public = Ed25519.PublicKey.fromBytes(key.*) catch return false;
    Ed25519.Signature.fromBytes(signature.*).verifyStrict(text[0..size], public) catch return false;
    return true;
}

var running: Sha256 = undefined;

export fn sha256_begin() void {
    running = Sha256.init(.{});
}

export fn sha256_add(bytes: [*]const u8, size: usize) void {
    running.update(bytes[0..size]);
}

export fn sha256_end(digest: *[32]u8) void {
    running.final(digest);
}
