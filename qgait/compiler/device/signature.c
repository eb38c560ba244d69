#include "signature.h"

#include "system.h"

enum { LONGEST_PATH = 4096, LONGEST_TEXT = 1 << 16, LONGEST_KEY = 4096, DIGEST = 32, HEX = 2 * DIGEST };
enum { SIGNATURE = 64, LETTERS = 88, SIGNATURE_LINE = sizeof "# ed25519 " - 1 + LETTERS + 1 };

/* What comes before the 32 bytes of an Ed25519 key in the form that OpenSSL writes (SubjectPublicKeyInfo). */
static const uint8_t key_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
enum { KEY = sizeof key_head + 32 };

static const char title[] = "# qgait signature 1: bundle\n# key sha256:";

static char text[LONGEST_TEXT + 1]; /* of the file, then line after line closed by a zero */
static char *text_end;              /* where its last line begins, the signature */

/* The number of characters of `word` when they stand at `at`, or 0. */
static size_t begins(const char *at, const char *word)
{
    size_t size = 0;
    while (word[size] != '\0') {
        if (at[size] != word[size])
            return 0;
        size++;
    }
    return size;
}

static int value_of(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

/* Bytes of the base64 from `at` to `end`, which may have several lines; 0 when it is none, or more than `room`. */
static size_t decode(const char *at, const char *end, uint8_t *bytes, size_t room)
{
    uint32_t bits = 0;
    size_t letters = 0, size = 0;
    for (; at < end && *at != '='; at++) {
        if (*at == '\n' || *at == '\r')
            continue;
        if (value_of(*at) < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value_of(*at);
        if (letters++ % 4 == 0)
            continue;
        if (size == room)
            return 0;
        bytes[size++] = (uint8_t)(bits >> (6 - 2 * ((letters - 1) % 4)));
    }
    uint32_t rest = letters % 4 == 2 ? bits & 15 : letters % 4 == 3 ? bits & 3 : letters % 4;
    return rest == 0 ? size : 0; /* or several texts would mean the same bytes */
}

static void read_key(const char *path, uint8_t key[KEY])
{
    static const char begin[] = "-----BEGIN PUBLIC KEY-----", end[] = "-----END PUBLIC KEY-----";
    static char pem[LONGEST_KEY + 1];
    int file = open_file(path);
    if (file < 0)
        refuse("the key %s cannot be read.", path);
    pem[read_file(file, pem, LONGEST_KEY)] = '\0';
    close_file(file);
    const char *first = pem, *last;
    while (*first != '\0' && begins(first, begin) == 0)
        first++;
    for (last = first; *last != '\0' && begins(last, end) == 0;)
        last++;
    size_t size = *last == '\0' ? 0 : decode(first + sizeof begin - 1, last, key, KEY);
    for (size_t i = 0; i < sizeof key_head; i++)
        if (size != KEY || key[i] != key_head[i])
            refuse("%s is not the PEM file of a public Ed25519 key.", path);
}

/* The sha256 of what was added since `sha256_begin`, as it is written. */
static const char *digest_text(void)
{
    static char hex[HEX + 1];
    uint8_t digest[DIGEST];
    sha256_end(digest);
    for (size_t i = 0; i < HEX; i++)
        hex[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
    return hex;
}

/* A file of the bundle, or -1. */
static int open_in_bundle(const char *name)
{
    static char path[LONGEST_PATH];
    const char *folder = bundle_folder();
    size_t size = 0;
    while (*folder != '\0' && size < LONGEST_PATH - 2)
        path[size++] = *folder++;
    path[size++] = '/';
    while (*name != '\0' && size < LONGEST_PATH - 1)
        path[size++] = *name++;
    path[size] = '\0';
    return *folder == '\0' && *name == '\0' ? open_file(path) : -1;
}

static int failed(const char *what, const char *problem)
{
    say("signature: %s%s\n", what, problem);
    return 1;
}

/* The beginning of what nobody has proved yet, without what a terminal would take for a command. */
static const char *printable(const char *found)
{
    static char line[256];
    size_t size = 0;
    for (; *found != '\0' && size < sizeof line - 1; found++)
        line[size++] = *found >= ' ' && *found <= '~' ? *found : '?';
    line[size] = '\0';
    return line;
}

/* Reads the signature and proves that its text is of the key. Returns the exit code. */
static int check_text(const uint8_t key[KEY])
{
    uint8_t signature[SIGNATURE];
    int file = open_in_bundle("signature");
    if (file < 0)
        return failed("the bundle is unsigned: it has no file ", "signature");
    size_t size = read_file(file, text, sizeof text);
    close_file(file);
    if (size == sizeof text || size < sizeof title - 1 + HEX + 1 + SIGNATURE_LINE || begins(text, title) == 0)
        return failed("the file signature", " is damaged, or of another version");
    text_end = text + size - SIGNATURE_LINE;
    sha256_begin();
    sha256_add(key, KEY);
    char *told = text + sizeof title - 1;
    if (begins(told, digest_text()) == 0) {
        told[HEX] = '\0';
        return failed("the bundle is signed by another key, sha256:", printable(told));
    }
    const char *letters = text + size - 1 - LETTERS;
    if (text_end[-1] != '\n' || begins(text_end, "# ed25519 ") == 0 || text[size - 1] != '\n' ||
        letters[LETTERS - 2] != '=' || letters[LETTERS - 1] != '=' ||
        decode(letters, letters + LETTERS, signature, SIGNATURE) != SIGNATURE ||
        !ed25519_holds((const uint8_t *)text, (size_t)(text_end - text), signature, key + sizeof key_head))
        return failed("the file signature", " was changed, or is of another bundle");
    return 0;
}

/* The first line that lists a file, once `close_lines` has been called. */
static char *listed(void)
{
    return text + sizeof title - 1 + HEX + 1;
}

static char *next(char *line)
{
    while (*line != '\0')
        line++;
    return line + 1;
}

/* Where the name stands in a line: behind its sha256 and two spaces. */
static char *name_in(char *line)
{
    size_t size = (size_t)(next(line) - line);
    return size > HEX + 2 ? line + HEX + 2 : line + size - 1;
}

static void close_lines(void)
{
    for (char *at = text; at < text_end; at++)
        if (*at == '\n')
            *at = '\0';
}

/* Says what is in the bundle without having been there when it was signed. Returns the exit code. */
static int check_listed(const char *name, int regular)
{
    if (!regular)
        return failed(printable(name), " is not a file: it was not there when the bundle was signed");
    size_t size = begins(name, "signature");
    if (size > 0 && name[size] == '\0')
        return 0;
    for (char *line = listed(); line < text_end; line = next(line)) {
        size = begins(name_in(line), name);
        if (size > 0 && name_in(line)[size] == '\0')
            return 0;
    }
    return failed(printable(name), " was added since the bundle was signed");
}

/* Compares the file of a line with its sha256. Returns the exit code. */
static int check_file(char *line)
{
    static uint8_t block[1 << 14];
    int file = open_in_bundle(name_in(line));
    if (file < 0)
        return failed(name_in(line), " is missing");
    sha256_begin();
    for (size_t size = sizeof block; size == sizeof block;) {
        size = read_file(file, block, sizeof block);
        sha256_add(block, size);
    }
    close_file(file);
    return begins(line, digest_text()) ? 0 : failed(name_in(line), " was changed since the bundle was signed");
}

int check_signature(const char *path)
{
    uint8_t key[KEY];
    unsigned files = 0;
    read_key(path, key);
    if (check_text(key) != 0)
        return 1;
    close_lines();
    if (each_file(bundle_folder(), check_listed) != 0)
        return 1;
    for (char *line = listed(); line < text_end; line = next(line), files++)
        if (check_file(line) != 0)
            return 1;
    say("signature: %u files are as the key sha256:%s signed them\n", files, text + sizeof title - 1);
    return 0;
}
