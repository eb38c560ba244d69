/* A QEMU plugin that counts the guest instructions executed and prints the number at exit: all of them, and where the
 * program has a symbol table those of every function.
 *
 * The prototypes are those of QEMU's plugin API and are declared here because Debian ships no qemu-plugin.h. Only calls
 * that every version of the API has are used. QEMU_PLUGIN_API is the version that the running QEMU accepts. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
typedef uint64_t qemu_plugin_id_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                  void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned int, void *),
                                                 enum qemu_plugin_cb_flags flags, void *data);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void *), void *data);
extern void qemu_plugin_outs(const char *text);

EXPORT int qemu_plugin_version = QEMU_PLUGIN_API;

enum { MOST_FUNCTIONS = 4096, MOST_BLOCKS = 1 << 16 };

struct function {
    const char *name;
    uint64_t executed; /* gait-run has one thread */
};

struct block {
    struct function *function;
    size_t instructions;
};

static struct function functions[MOST_FUNCTIONS]; /* the first: whatever has no name */
static struct block blocks[MOST_BLOCKS];
static size_t function_count = 1, block_count;

static void run_block(unsigned int cpu, void *data)
{
    const struct block *block = data;
    (void)cpu;
    block->function->executed += block->instructions;
}

static struct function *function_of(const char *name)
{
    if (name == NULL || *name == '\0')
        return functions;
    for (size_t i = 1; i < function_count; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    if (function_count == MOST_FUNCTIONS)
        return functions;
    functions[function_count].name = name; /* QEMU keeps its symbol table */
    return &functions[function_count++];
}

static void translate_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    if (block_count == MOST_BLOCKS) {
        qemu_plugin_outs("too many blocks\n");
        return;
    }
    struct block *counted = &blocks[block_count++];
    counted->function = function_of(qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0)));
    counted->instructions = qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, run_block, QEMU_PLUGIN_CB_NO_REGS, counted);
}

static void report(qemu_plugin_id_t id, void *data)
{
    char line[256];
    uint64_t executed = 0;
    (void)id;
    (void)data;
    for (size_t i = 0; i < function_count; i++)
        executed += functions[i].executed;
    snprintf(line, sizeof line, "instructions %" PRIu64 "\n", executed);
    qemu_plugin_outs(line);
    for (size_t i = 1; i < function_count; i++) {
        snprintf(line, sizeof line, "function %.200s %" PRIu64 "\n", functions[i].name, functions[i].executed);
        qemu_plugin_outs(line);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate_block);
    qemu_plugin_register_atexit_cb(id, report, NULL);
    return 0;
}
