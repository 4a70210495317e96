/*
 * A plugin for QEMU's emulation that counts what a guest executes: instructions, and those among them
 * that lock memory, of the kernel and of programs, for each processor. An emulator's clock says how busy
 * the host is, too; these counts do not.
 *
 *     qemu-system-x86_64 … -plugin file=counts.so,counts=FILE
 *
 * FILE is mapped, so that it says at any time what the counts are: for each processor a line of a cache,
 * the struct below, in the machine's byte order. See QEMU's "TCG Plugins"; version 1 of that interface,
 * whose header Debian does not ship, so what is needed of it is declared here.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
    void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *block));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block,
    void (*callback)(unsigned int processor, void *data), enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction,
    void (*callback)(unsigned int processor, void *data), enum qemu_plugin_cb_flags flags, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { PROGRAMS, KERNEL, SIDES };
enum { PROCESSORS = 64 };

/* Of one processor, which alone writes it. */
struct counts {
    uint64_t instructions[SIDES];
    uint64_t locked[SIDES];
    uint64_t padding[4];
};

static struct counts *counts;

static void executed_block(unsigned int processor, void *data)
{
    uintptr_t packed = (uintptr_t)data;
    counts[processor % PROCESSORS].instructions[packed & 1] += packed >> 1;
}

static void executed_locked(unsigned int processor, void *data)
{
    counts[processor % PROCESSORS].locked[(uintptr_t)data & 1]++;
}

static bool is_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65};
    return memchr(prefixes, byte, sizeof prefixes) != NULL;
}

/* With a `lock` prefix, an exchange with memory, or `mfence`: what toolkit/bench counts as locked. */
static bool is_locked(const uint8_t *code, size_t size)
{
    size_t at = 0;
    while (at < size && is_prefix(code[at]))
        at++;
    if (at < size && code[at] == 0xf0)
        return true;
    if (at < size && (code[at] & 0xf0) == 0x40)
        at++;
    if (size - at < 2)
        return false;
    if (code[at] == 0x86 || code[at] == 0x87)
        return code[at + 1] >> 6 != 3;
    return size - at >= 3 && code[at] == 0x0f && code[at + 1] == 0xae && code[at + 2] == 0xf0;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    /* Kernels live in the upper half of the addresses. */
    uintptr_t side = qemu_plugin_tb_vaddr(block) >> 63;
    size_t length = qemu_plugin_tb_n_insns(block);
    void *packed = (void *)(length << 1 | side);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed_block, QEMU_PLUGIN_CB_NO_REGS, packed);
    for (size_t index = 0; index < length; index++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
        const uint8_t *code = qemu_plugin_insn_data(instruction);
        if (is_locked(code, qemu_plugin_insn_size(instruction)))
            qemu_plugin_register_vcpu_insn_exec_cb(
                instruction, executed_locked, QEMU_PLUGIN_CB_NO_REGS, (void *)side);
    }
}

/* The parameters are QEMU's; of what it says of itself nothing is needed. */
__attribute__((visibility("default"))) int qemu_plugin_install(
    qemu_plugin_id_t id, const void *about, int argc, char **argv)
{
    static const char OPTION[] = "counts=";
    (void)about;
    if (argc != 1 || strncmp(argv[0], OPTION, sizeof OPTION - 1) != 0) {
        fprintf(stderr, "counts: the one argument is counts=FILE\n");
        return 1;
    }
    const size_t bytes = PROCESSORS * sizeof *counts;
    int file = open(argv[0] + sizeof OPTION - 1, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || ftruncate(file, bytes) != 0) {
        perror("counts: the file of the counts");
        return 1;
    }
    counts = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (counts == MAP_FAILED) {
        perror("counts: the file of the counts");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
