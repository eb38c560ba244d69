/* Whether the bundle around this program is what somebody signed; docs/signing.md has the format. */
#ifndef SIGNATURE_H
#define SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checks the file `signature` with the public key in the file `key`, then every file of the bundle with its sha256, and
 * prints one line. Returns the exit code; refuses a file that holds no Ed25519 key. */
int check_signature(const char *key);

/* Of ed25519.zig. */
bool ed25519_holds(const uint8_t *text, size_t size, const uint8_t signature[64], const uint8_t key[32]);
void sha256_begin(void);
void sha256_add(const uint8_t *bytes, size_t size);
void sha256_end(uint8_t digest[32]);

#endif
