/* SPDX-License-Identifier: Apache-2.0 */
/* With arguments it is no test but one call, into which test_materialise_faults.py injects faults:
 * "write ROOT GENERATION ENFORCE" or "sweep ROOT". */
#include "io/materialise.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define POD "kube-system_a"
#define INPUT POD "/00112233"
#define VOLUME INPUT "/config"
#define HEX "0123456789abcdef0123456789abcdef"
#define LABEL "system_u:object_r:container_file_t:s0"

static char *base;
static char *root, *volume;
static Materialise *m;
static Err err;

/* ---- the world ---- */

static char *copy_of(const char *text) {
        char *copy = strdup(text);

        assert_non_null(copy);
        return copy;
}

static int setup(void **unused) {
        (void)unused;
        base = tmpdir_new();
        root = copy_of(in_dir(base, "volumes"));
        volume = copy_of(in_dir(root, VOLUME));
        err = (Err){ 0 };
        assert_int_equal(materialise_open(root, false, &m, &err), 0);
        return 0;
}

static int teardown(void **unused) {
        (void)unused;
        m = materialise_free(m);
        free(root);
        free(volume);
        tmpdir_free(base);
        return 0;
}

static const char *in_volume(const char *name) {
        return in_dir(volume, name);
}

static PayloadFile file(const char *path, const char *text, uint32_t mode) {
        return (PayloadFile){ .path = (char *)path, .bytes = (char *)text, .len = strlen(text), .mode = mode };
}

#define PAYLOAD(payload_group, ...)                                                                                    \
        (Payload) {                                                                                                    \
                .files = (PayloadFile[]){ __VA_ARGS__ }, .n = ARRAY_SIZE(((PayloadFile[]){ __VA_ARGS__ })),            \
                .group = (payload_group)                                                                               \
        }

static int try_write(const char *dir, Payload p) {
        err = (Err){ 0 };
        return materialise_write(m, dir, &p, &err);
}

static void write_ok(const char *dir, Payload p) {
        if (try_write(dir, p) < 0)
                fail_msg("%s", err.message);
        assert_string_equal(err.message, "");
}

static void write_files(const char *a, const char *b) {
        write_ok(VOLUME, PAYLOAD(-1, file("a", a, 0644), file("dir/b", b, 0600)));
}

static const char *link_of(const char *path) {
        static char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        target[n < 0 ? 0 : n] = 0;
        return target;
}

/* What a pod sees, and that there is nothing else. */
static void assert_files(const char *a, const char *b) {
        const char *names = names_in(volume), *data = link_of(in_volume("..data"));

        assert_true(startswith(names, data));
        assert_string_equal(names + strlen(data), " ..data a dir");
        assert_string_equal(link_of(in_volume("a")), "..data/a");
        assert_string_equal(link_of(in_volume("dir")), "..data/dir");
        assert_true(file_is(in_volume("a"), a));
        assert_true(file_is(in_volume("dir/b"), b));
        assert_string_equal(names_in(in_volume("..data/")), "a dir");
        assert_string_equal(names_in(in_dir(root, INPUT)), "config");
}

/* Runs it in a process of its own, which it may change as it likes. It returns 0, the number of what failed, or 77
 * where that cannot be done. */
static void in_child(int (*body)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(body());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        if (WEXITSTATUS(status) != 0)
                fail_msg("failed in the child: check %d; %s", WEXITSTATUS(status), err.message);
}

/* ---- layout ---- */

static void layout_and_modes(void **unused) {
        static const struct {
                const char *path;
                mode_t mode;
                const char *link, *text;
        } rows[] = {
                { "", 0700, NULL, NULL },
                { POD, 0700, NULL, NULL },
                { INPUT, 0700, NULL, NULL },
                { VOLUME, 0755, NULL, NULL },
                { VOLUME "/..data/", 0755, NULL, NULL },
                { VOLUME "/..data/dir", 0755, NULL, NULL },
                { VOLUME "/..data/dir/deep", 0755, NULL, NULL },
                { VOLUME "/..data/.hidden", 0444, NULL, "h" },
                { VOLUME "/..data/a", 0644, NULL, "text" },
                { VOLUME "/..data/dir/b", 0600, NULL, "b" },
                { VOLUME "/..data/dir/deep/c", 0777, NULL, "c" },
                { VOLUME "/..data/empty", 0400, NULL, "" },
                { VOLUME "/..data/write-only", 0222, NULL, NULL },
                { VOLUME "/..data/z", 0, NULL, NULL },
                { VOLUME "/.hidden", 0777, "..data/.hidden", "h" },
                { VOLUME "/a", 0777, "..data/a", "text" },
                { VOLUME "/dir", 0777, "..data/dir", NULL },
                { VOLUME "/empty", 0777, "..data/empty", "" },
                { VOLUME "/z", 0777, "..data/z", NULL },
        };
        static const mode_t masks[] = { 0, 022, 077, 0137 };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
                mode_t saved;

                free(root);
                root = copy_of(in_dir(base, (const char *[]){ "mask0", "mask1", "mask2", "mask3" }[i]));
                m = materialise_free(m);
                saved = umask(masks[i]);
                assert_int_equal(materialise_open(root, false, &m, &err), 0);
                write_ok(VOLUME,
                         PAYLOAD(-1, file(".hidden", "h", 0444), file("a", "text", 0644), file("dir/b", "b", 0600),
                                 file("dir/deep/c", "c", 0777), file("empty", "", 0400), file("write-only", "x", 0222),
                                 file("z", "secret", 0)));
                (void)umask(saved);
                for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
                        const char *path = in_dir(root, rows[k].path);

                        if (mode_of(path) != rows[k].mode)
                                fail_msg("%s: mode %04o, not %04o", path, mode_of(path), rows[k].mode);
                        if (rows[k].link)
                                assert_string_equal(link_of(path), rows[k].link);
                        if (rows[k].text)
                                assert_true(file_is(path, rows[k].text));
                }
        }
}

static void data_directory_is_named_by_the_hash(void **unused) {
        Payload p = PAYLOAD(-1, file("a", "1", 0644));
        char hash[PAYLOAD_HEX + 1], held[PAYLOAD_HEX + 1], want[64];

        (void)unused;
        payload_hash(&p, hash);
        assert_int_equal(materialise_holds(m, VOLUME, held), 0);
        write_ok(VOLUME, p);
        (void)snprintf(want, sizeof(want), "..%s", hash);
        assert_string_equal(link_of(in_volume("..data")), want);
        assert_int_equal(materialise_holds(m, VOLUME, held), 1);
        assert_string_equal(held, hash);
}

static void volume_without_files(void **unused) {
        char hash[PAYLOAD_HEX + 1];

        (void)unused;
        write_ok(VOLUME, (Payload){ .group = -1 });
        assert_string_equal(names_in(in_volume("..data/")), "");
        assert_int_equal(materialise_holds(m, VOLUME, hash), 1);
        write_files("1", "1");
        assert_files("1", "1");
        write_ok(VOLUME, (Payload){ .group = -1 });
        assert_string_equal(names_in(in_volume("..data/")), "");
        assert_false(exists(in_volume("a")));
}

static void volumes_beside_each_other(void **unused) {
        (void)unused;
        write_files("1", "1");
        write_ok(INPUT "/other", PAYLOAD(-1, file("o", "o", 0644)));
        write_ok(POD "/ffff/config", PAYLOAD(-1, file("a", "f", 0644)));
        write_ok("default_a/00112233/config", PAYLOAD(-1, file("a", "d", 0644)));
        assert_string_equal(names_in(in_dir(root, INPUT)), "config other");
        assert_string_equal(names_in(in_dir(root, POD)), "00112233 ffff");
        assert_string_equal(names_in(root), "default_a kube-system_a");
        assert_true(file_is(in_volume("a"), "1"));
}

static void content_of_any_bytes(void **unused) {
        PayloadFile binary = { .path = (char *)"bin", .bytes = (char *)"a\0b\xff\n", .len = 5, .mode = 0644 };
        _cleanup_free_ char *have = NULL;
        size_t len;

        (void)unused;
        write_ok(VOLUME, PAYLOAD(-1, binary));
        have = test_read_file(in_volume("bin"), &len);
        assert_int_equal(len, 5);
        assert_memory_equal(have, binary.bytes, 5);
}

/* ---- changes ---- */

static void change_is_a_swap(void **unused) {
        struct stat before, after;

        (void)unused;
        write_files("1", "1");
        assert_int_equal(stat(volume, &before), 0);
        write_ok(VOLUME, PAYLOAD(-1, file("a", "2", 0644), file("new/b", "2", 0644)));
        assert_int_equal(stat(volume, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_false(exists(in_volume("dir")));
        assert_true(file_is(in_volume("new/b"), "2"));
        write_files("1", "1");
        assert_files("1", "1");
        /* What was a file becomes a directory. */
        write_ok(VOLUME, PAYLOAD(-1, file("a/x", "3", 0644), file("dir", "3", 0644)));
        assert_true(file_is(in_volume("a/x"), "3"));
        assert_true(file_is(in_volume("dir"), "3"));
}

static void mode_alone_is_a_change(void **unused) {
        (void)unused;
        write_ok(VOLUME, PAYLOAD(-1, file("a", "1", 0644)));
        write_ok(VOLUME, PAYLOAD(-1, file("a", "1", 0400)));
        assert_int_equal(mode_of(in_volume("..data/a")), 0400);
}

static void equal_content_touches_nothing(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        write_files("1", "1");
        write_files("2", "2");
        put_file(in_volume("foreign"), "f", 0644);
        before = tree_state(base);
        write_files("2", "2");
        after = tree_state(base);
        assert_string_equal(before, after);
}

static void missing_link_is_put_back(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        write_files("1", "1");
        before = tree_state(in_volume(link_of(in_volume("..data"))));
        assert_int_equal(unlink(in_volume("a")), 0);
        write_files("1", "1");
        assert_files("1", "1");
        after = tree_state(in_volume(link_of(in_volume("..data"))));
        assert_string_equal(before, after);
}

static void put_wrong(const char *path, int kind) {
        switch (kind) {
        case 0:
                put_file(path, "wrong", 0644);
                break;
        case 1:
                put_link(path, in_dir(base, "outside"));
                break;
        case 2:
                put_link(path, "nowhere");
                break;
        case 3:
                put_link(path, "..data/ab");
                break;
        default:
                put_dir(path, 0755);
                put_dir(in_dir(path, "below"), 0755);
                put_file(in_dir(path, "below/file"), "wrong", 0644);
        }
}

/* In place of a link of a file, of a link of a directory, and of ..data; before a write of the same and of another. */
static void wrong_entries_are_put_right(void **unused) {
        static const char *const names[] = { "a", "dir", "..data" };
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        put_dir(in_dir(base, "outside"), 0755);
        put_file(in_dir(base, "outside/a"), "outside", 0644);
        before = tree_state(in_dir(base, "outside"));
        for (int kind = 0; kind < 5; kind++)
                for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                        for (int equal = 0; equal < 2; equal++) {
                                write_files("1", "1");
                                assert_int_equal(unlink(in_volume(names[i])), 0);
                                put_wrong(in_volume(names[i]), kind);
                                write_files(equal ? "1" : "2", "1");
                                assert_files(equal ? "1" : "2", "1");
                        }
        after = tree_state(in_dir(base, "outside"));
        assert_string_equal(before, after);
}

static void entries_of_others_stay(void **unused) {
        (void)unused;
        write_files("1", "1");
        put_file(in_volume("foreign"), "f", 0644);
        put_dir(in_volume("mine"), 0755);
        put_link(in_volume("elsewhere"), "dir/b");
        put_dir(in_volume("..2026"), 0755);
        /* Too short, too long, and no digits: not a data directory of ours. */
        put_dir(in_volume("..0123456789abcdef0123456789abcde"), 0755);
        put_dir(in_volume(".." HEX "0"), 0755);
        put_dir(in_volume(".." HEX ".x"), 0755);
        put_dir(in_volume("..0123456789ABCDEF0123456789abcdef"), 0755);
        write_files("2", "2");
        write_files("2", "2");
        for (const char *const *name =
                     (const char *const[]){ "foreign", "mine", "elsewhere", "..2026",
                                            "..0123456789abcdef0123456789abcde", ".." HEX "0", ".." HEX ".x",
                                            "..0123456789ABCDEF0123456789abcdef", NULL };
             *name; name++)
                assert_true(exists(in_volume(*name)));
        assert_true(file_is(in_volume("a"), "2"));
}

static void leftovers_are_removed(void **unused) {
        (void)unused;
        for (int equal = 0; equal < 2; equal++) {
                write_files("1", "1");
                put_dir(in_volume("..tmp-new"), 0700);
                put_file(in_volume("..tmp-new/a"), "half", 0);
                put_dir(in_volume(".." HEX), 0755);
                put_dir(in_volume(".." HEX "/dir"), 0755);
                put_file(in_volume(".." HEX "/dir/b"), "old", 0);
                put_link(in_volume("..tmp-link"), "x");
                put_link(in_volume("gone"), "..data/gone");
                write_files(equal ? "1" : "2", "1");
                assert_files(equal ? "1" : "2", "1");
        }
}

/* A power cut may leave anything under the name that the new files are to have. */
static void half_made_data_is_not_believed(void **unused) {
        _cleanup_free_ char *data = NULL;

        (void)unused;
        write_files("2", "2");
        data = copy_of(link_of(in_volume("..data")));
        write_files("1", "1");
        put_dir(in_volume(data), 0755);
        put_file(in_dir(in_volume(data), "a"), "half", 0644);
        write_files("2", "2");
        assert_files("2", "2");
}

static void first_write_after_a_broken_one(void **unused) {
        (void)unused;
        put_dir(in_dir(root, POD), 0700);
        put_dir(in_dir(root, INPUT), 0700);
        put_dir(in_dir(root, INPUT "/..tmp-new"), 0700);
        put_dir(in_dir(root, INPUT "/..tmp-new/..tmp-new"), 0755);
        put_file(in_dir(root, INPUT "/..tmp-new/..tmp-new/a"), "half", 0644);
        write_files("1", "1");
        assert_files("1", "1");
}

static void volume_modes_are_mended(void **unused) {
        (void)unused;
        write_files("1", "1");
        assert_int_equal(chmod(volume, 0700), 0);
        assert_int_equal(chmod(in_dir(root, INPUT), 0755), 0);
        assert_int_equal(chmod(in_dir(root, POD), 0777), 0);
        assert_int_equal(chmod(root, 0711), 0);
        write_files("1", "1");
        assert_int_equal(mode_of(volume), 0755);
        assert_int_equal(mode_of(in_dir(root, INPUT)), 0700);
        assert_int_equal(mode_of(in_dir(root, POD)), 0700);
        assert_int_equal(mode_of(root), 0700);
}

static void root_that_vanished_is_made_again(void **unused) {
        (void)unused;
        write_files("1", "1");
        assert_int_equal(rename(root, in_dir(base, "away")), 0);
        write_files("1", "1");
        assert_files("1", "1");
}

/* ---- groups ---- */

static gid_t group_of(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_gid;
}

static void assert_group(gid_t group) {
        static const char *const names[] = { "", "..data/", "..data/dir", "..data/a", "..data/dir/b" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct stat st;

                assert_int_equal(stat(in_volume(names[i]), &st), 0);
                assert_int_equal(st.st_gid, group);
                assert_int_equal(st.st_mode & 07777, S_ISDIR(st.st_mode) ? 02755 : 0640);
        }
        assert_int_equal(group_of(in_volume("..data")), group);
}

static int write_group(int64_t group) {
        return try_write(VOLUME, PAYLOAD(group, file("a", "1", 0640), file("dir/b", "1", 0640)));
}

static void files_of_a_group(void **unused) {
        (void)unused;
        if (geteuid() != 0)
                skip();
        assert_int_equal(write_group(4711), 0);
        assert_group(4711);
        assert_int_equal(group_of(in_dir(root, INPUT)), getegid());
        assert_int_equal(write_group(4712), 0);
        assert_group(4712);
        assert_int_equal(write_group(-1), 0);
        assert_int_equal(mode_of(volume), 0755);
        assert_int_equal(mode_of(in_volume("..data/dir")), 0755);
        assert_int_equal(group_of(in_volume("..data/dir/b")), getegid());
        assert_int_equal(write_group(2147483647), 0);
        assert_group(2147483647);
        assert_int_equal(chown(volume, (uid_t)-1, 0), 0);
        assert_int_equal(write_group(2147483647), 0);
        assert_int_equal(group_of(volume), 2147483647);
}

static void own_group_takes_no_rights(void **unused) {
        (void)unused;
        assert_int_equal(write_group(getegid()), 0);
        assert_group(getegid());
}

static void group_of_others_needs_root(void **unused) {
        (void)unused;
        if (geteuid() == 0)
                skip();
        write_files("1", "1");
        assert_int_equal(write_group(4711), -EPERM);
        assert_non_null(strstr(err.message, "4711"));
        assert_non_null(strstr(err.message, "takes root"));
        assert_non_null(strstr(err.message, VOLUME));
        assert_files("1", "1");
        assert_int_equal(try_write(INPUT "/other", PAYLOAD(4711, file("a", "1", 0640))), -EPERM);
        assert_string_equal(names_in(in_dir(root, INPUT)), "config");
}

/* From now on this call fails with this error, if the second argument has one of these bits (0: always). */
static bool forbid(int call, unsigned bits, int error) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
                BPF_JUMP(BPF_JMP | (bits ? BPF_JSET : BPF_JGE) | BPF_K, bits, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { ARRAY_SIZE(code), code };

        return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
               prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* As with RestrictSUIDSGID= of a unit. */
static int write_without_setgid(void) {
        char *before, *after;

        if (!forbid(SYS_fchmod, S_ISGID, EPERM))
                return 77;
        if (write_group(getegid()) < 0)
                return 1;
        if (mode_of(volume) != 0755 || mode_of(in_volume("..data/dir")) != 0755)
                return 2;
        before = tree_state(base);
        if (write_group(getegid()) < 0)
                return 3;
        after = tree_state(base);
        if (!streq(before, after))
                return 4;
        free(before);
        free(after);
        return 0;
}

static void sandbox_without_setgid(void **unused) {
        (void)unused;
        in_child(write_without_setgid);
}

/* ---- SELinux ---- */

static const char *label_of(const char *path) {
        static char label[256];
        ssize_t n = lgetxattr(path, "security.selinux", label, sizeof(label));

        if (n != sizeof(LABEL))
                return n < 0 ? "" : "of a wrong length";
        return label;
}

static void set_selinux(void) {
        put_file(in_dir(base, "enforce"), "1", 0644);
        materialise_set_selinux(m, in_dir(base, "enforce"));
}

static bool host_has_selinux(void) {
        return exists("/sys/fs/selinux/enforce");
}

static void everything_is_labelled(void **unused) {
        static const char *const names[] = { "",           "..data",       "..data/", "..data/a",
                                             "..data/dir", "..data/dir/b", "a",       "dir" };

        (void)unused;
        if (geteuid() != 0 || host_has_selinux())
                skip();
        write_files("1", "1");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                assert_string_equal(label_of(in_volume(names[i])), "");
        assert_int_equal(rename(root, in_dir(base, "away")), 0);
        set_selinux();
        for (int i = 0; i < 2; i++) {
                write_files(i ? "2" : "1", "1");
                for (size_t k = 0; k < ARRAY_SIZE(names); k++)
                        assert_string_equal(label_of(in_volume(names[k])), LABEL);
        }
        assert_string_equal(label_of(in_dir(root, INPUT)), "");
        materialise_set_selinux(m, in_dir(base, "no-enforce"));
        write_files("3", "1");
        assert_string_equal(label_of(in_volume("..data/a")), "");
}

static int label_call, label_error;

static int write_with_label_error(void) {
        if (!forbid(label_call, 0, label_error))
                return 77;
        set_selinux();
        return -try_write(VOLUME, PAYLOAD(-1, file("a", "2", 0644), file("dir/b", "2", 0600)));
}

static void label_that_cannot_be_set(void **unused) {
        static const int calls[] = { SYS_fsetxattr, SYS_lsetxattr };
        static const struct {
                int error;
                bool ignored;
        } rows[] = { { ENOTSUP, true }, { EINVAL, true }, { EPERM, false }, { EACCES, false }, { ENOSPC, false } };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
                for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
                        int status;
                        pid_t pid;

                        write_files("1", "1");
                        label_call = calls[i];
                        label_error = rows[k].error;
                        pid = fork();
                        if (pid == 0)
                                _exit(write_with_label_error());
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        if (WEXITSTATUS(status) == 77)
                                skip();
                        assert_int_equal(WEXITSTATUS(status), rows[k].ignored ? 0 : rows[k].error);
                        assert_files(rows[k].ignored ? "2" : "1", rows[k].ignored ? "2" : "1");
                }
}

static int write_on_ramfs(void) {
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", root, "ramfs", 0, NULL) < 0)
                return 77;
        set_selinux();
        return try_write(VOLUME, PAYLOAD(-1, file("dir/a", "1", 0644))) == 0 && file_is(in_volume("dir/a"), "1") ? 0
                                                                                                                 : 1;
}

static void file_system_without_labels(void **unused) {
        (void)unused;
        in_child(write_on_ramfs);
}

/* ---- attacks and mistakes ---- */

static void links_above_are_refused(void **unused) {
        static const char *const dirs[] = { "", POD, INPUT };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
                for (int is_file = 0; is_file < 2; is_file++) {
                        _cleanup_free_ char *before = NULL, *after = NULL;
                        _cleanup_free_ char *path = NULL, *outside = NULL;
                        char away[32], hash[PAYLOAD_HEX + 1];

                        write_files("1", "1");
                        path = copy_of(dirs[i][0] ? in_dir(root, dirs[i]) : root);
                        (void)snprintf(away, sizeof(away), "away%zu%d", i, is_file);
                        outside = copy_of(in_dir(base, away));
                        assert_int_equal(rename(path, outside), 0);
                        if (is_file)
                                put_file(path, "", 0600);
                        else
                                put_link(path, outside);
                        before = tree_state(outside);
                        assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file("a", "2", 0644))), -ENOTDIR);
                        assert_non_null(strstr(err.message, "a file or a link"));
                        assert_int_equal(materialise_holds(m, VOLUME, hash), 0);
                        after = tree_state(outside);
                        assert_string_equal(before, after);
                        if (i == 0) {
                                Materialise *other = NULL;

                                assert_int_equal(materialise_open(root, false, &other, NULL), -ENOTDIR);
                                assert_int_equal(materialise_open(root, true, &other, NULL), -ENOTDIR);
                                assert_null(other);
                        }
                        assert_int_equal(unlink(path), 0);
                }
}

static void volume_that_is_no_directory(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        char hash[PAYLOAD_HEX + 1];

        (void)unused;
        write_files("1", "1");
        assert_int_equal(rename(volume, in_dir(base, "outside")), 0);
        before = tree_state(in_dir(base, "outside"));
        put_link(volume, in_dir(base, "outside"));
        assert_int_equal(materialise_holds(m, VOLUME, hash), 0);
        write_files("2", "2");
        assert_files("2", "2");
        after = tree_state(in_dir(base, "outside"));
        assert_string_equal(before, after);
        assert_int_equal(rename(volume, in_dir(base, "other")), 0);
        put_file(volume, "", 0644);
        write_files("3", "3");
        assert_files("3", "3");
}

/* What ..data leads to has the right name and is a link out of the volume. */
static void data_that_leads_outside(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        _cleanup_free_ char *data = NULL;
        char hash[PAYLOAD_HEX + 1];

        (void)unused;
        write_files("1", "1");
        data = copy_of(link_of(in_volume("..data")));
        assert_int_equal(rename(in_volume(data), in_dir(base, "outside")), 0);
        put_link(in_volume(data), in_dir(base, "outside"));
        before = tree_state(in_dir(base, "outside"));
        assert_int_equal(materialise_holds(m, VOLUME, hash), 0);
        write_files("1", "1");
        assert_files("1", "1");
        put_link(in_volume(".." HEX), in_dir(base, "outside"));
        put_link(in_volume("..tmp-new"), in_dir(base, "outside"));
        write_files("2", "2");
        assert_files("2", "2");
        after = tree_state(in_dir(base, "outside"));
        assert_string_equal(before, after);
}

static void strangers_directories_are_refused(void **unused) {
        static const char *const dirs[] = { "", POD, INPUT, VOLUME };

        (void)unused;
        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                write_files("1", "1");
                assert_int_equal(chown(in_dir(root, dirs[i]), 65534, 65534), 0);
                assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file("a", "2", 0644))), -EPERM);
                assert_non_null(strstr(err.message, "belongs to user 65534"));
                assert_true(file_is(in_volume("a"), "1"));
                if (i == 0) {
                        Materialise *other = NULL;

                        err = (Err){ 0 };
                        assert_int_equal(materialise_open(root, true, &other, &err), -EPERM);
                        assert_int_equal(materialise_open(root, false, &other, &err), -EPERM);
                        assert_non_null(strstr(err.message, base));
                }
                assert_int_equal(chown(in_dir(root, dirs[i]), 0, 0), 0);
        }
}

static void names_that_are_refused(void **unused) {
        static const char *const dirs[] = { "",      "a",      "a/b",    "a/b/c/d",    "/a/b/c",
                                            "a//c",  "a/b/",   "../a/b", "a/../b",     "a/b/..",
                                            "./a/b", "a/.b/c", "a/b/.c", "a/b/..data", "a/b/..tmp-new" };
        static const char *const paths[] = { "",     "/etc/passwd", "..", "../x", "..data", "..x", "a/../b",
                                             "a/..", "a//b",        "a/", ".",    "a/./b",  "./a", "..tmp-new/a" };
        _cleanup_free_ char *before = tree_state(base), *after = NULL;
        char long_dir[300], hash[PAYLOAD_HEX + 1];

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                assert_int_equal(try_write(dirs[i], PAYLOAD(-1, file("a", "1", 0644))), -EINVAL);
                assert_int_equal(materialise_holds(m, dirs[i], hash), 0);
        }
        (void)snprintf(long_dir, sizeof(long_dir), "%0256d/b/c", 1);
        assert_int_equal(try_write(long_dir, PAYLOAD(-1, file("a", "1", 0644))), -EINVAL);
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file("0", "1", 0644), file(paths[i], "1", 0644))),
                                 -EINVAL);
                assert_non_null(strstr(err.message, "is not a path in it"));
        }
        after = tree_state(base);
        assert_string_equal(before, after);
        write_ok(VOLUME, PAYLOAD(-1, file(".a", "1", 0644), file("a/..b", "2", 0644)));
        assert_true(file_is(in_volume("a/..b"), "2"));
}

static void messages_name_no_content(void **unused) {
        (void)unused;
        write_files("1", "1");
        assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file("a", "pass-word", 0644), file("a/b", "pass-word", 0644))),
                         -ENOTDIR);
        assert_non_null(strstr(err.message, "a/b"));
        assert_non_null(strstr(err.message, VOLUME));
        assert_null(strstr(err.message, "pass-word"));
        assert_files("1", "1");
}

/* ---- limits ---- */

static void longest_names(void **unused) {
        char dir[1024], name[NAME_MAX + 2];

        (void)unused;
        memset(name, 'n', sizeof(name));
        name[NAME_MAX] = 0;
        (void)snprintf(dir, sizeof(dir), "%s/%s/%s", name, name, name);
        write_ok(dir, PAYLOAD(-1, file(name, "1", 0644)));
        assert_true(file_is(in_dir(in_dir(root, dir), name), "1"));
        write_files("1", "1");
        name[NAME_MAX] = 'n';
        for (int is_dir = 0; is_dir < 2; is_dir++) {
                char path[NAME_MAX + 8];

                (void)snprintf(path, sizeof(path), "%.256s%s", name, is_dir ? "/x" : "");
                assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file(path, "1", 0644))), -ENAMETOOLONG);
                assert_files("1", "1");
        }
}

static void deepest_path(void **unused) {
        char path[512] = "";

        (void)unused;
        for (int i = 1; i < 128; i++)
                strcat(path, "d/");
        strcat(path, "f");
        write_ok(VOLUME, PAYLOAD(-1, file(path, "1", 0644)));
        assert_true(file_is(in_volume(path), "1"));
        write_files("1", "1");
        assert_files("1", "1");
        write_ok(VOLUME, PAYLOAD(-1, file(path, "1", 0644)));
        strcpy(path + strlen(path) - 1, "d/f");
        assert_int_equal(try_write(VOLUME, PAYLOAD(-1, file(path, "1", 0644))), -ENAMETOOLONG);
}

enum { MANY = 10000 };

static bool in_none(void *unused, const char *dir) {
        (void)unused;
        (void)dir;
        return false;
}

static void many_files(void **unused) {
        static char paths[MANY][16], text[128];
        Payload p = { .files = calloc(MANY, sizeof(PayloadFile)), .n = MANY, .group = -1 };
        const char *last = paths[MANY - 1];
        struct stat st;

        (void)unused;
        assert_non_null(p.files);
        memset(text, 'x', 104);
        for (size_t i = 0; i < MANY; i++) {
                (void)snprintf(paths[i], sizeof(paths[i]), i % 2 ? "k%05zu" : "d/%05zu", i);
                p.files[i] = file(paths[i], text, 0644);
        }
        write_ok(VOLUME, p);
        assert_true(file_is(in_volume(last), text));
        assert_true(file_is(in_volume("d/00000"), text));
        assert_int_equal(stat(in_volume("..data/"), &st), 0);
        write_ok(VOLUME, p);
        free(p.files);
        assert_int_equal(materialise_sweep(m, in_none, NULL, &err), 0);
        assert_string_equal(names_in(root), "");
}

/* ---- read only ---- */

static void reading_only_makes_nothing(void **unused) {
        Materialise *reader = NULL;
        Payload p = PAYLOAD(-1, file("a", "2", 0644));
        _cleanup_free_ char *before = NULL, *after = NULL;
        char hash[PAYLOAD_HEX + 1];

        (void)unused;
        write_files("1", "1");
        before = tree_state(base);
        assert_int_equal(materialise_open(in_dir(base, "none"), true, &reader, &err), 0);
        assert_int_equal(materialise_holds(reader, VOLUME, hash), 0);
        reader = materialise_free(reader);
        assert_int_equal(materialise_open(root, true, &reader, &err), 0);
        assert_string_equal(err.message, "");
        assert_int_equal(materialise_holds(reader, VOLUME, hash), 1);
        assert_int_equal(materialise_write(reader, VOLUME, &p, NULL), -EROFS);
        assert_int_equal(materialise_sweep(reader, in_none, NULL, NULL), -EROFS);
        materialise_free(reader);
        after = tree_state(base);
        assert_string_equal(before, after);
}

static void roots_of_all_kinds(void **unused) {
        static const char *const bad[] = { "", "/", "///" };
        Materialise *other = NULL;
        char path[4096];

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(materialise_open(bad[i], false, &other, NULL), -EINVAL);
        err = (Err){ 0 };
        assert_int_equal(materialise_open(in_dir(base, "no/volumes"), false, &other, &err), -ENOENT);
        assert_non_null(strstr(err.message, in_dir(base, "no")));
        assert_null(other);
        (void)snprintf(path, sizeof(path), "%s//slashes//", base);
        assert_int_equal(materialise_open(path, false, &other, NULL), 0);
        assert_int_equal(mode_of(in_dir(base, "slashes")), 0700);
        other = materialise_free(other);
        assert_int_equal(chdir(base), 0);
        assert_int_equal(materialise_open("relative", false, &other, NULL), 0);
        assert_int_equal(mode_of(in_dir(base, "relative")), 0700);
        materialise_free(other);
        assert_int_equal(chdir("/"), 0);
        assert_null(materialise_free(NULL));
}

/* ---- readers during swaps ---- */

static atomic_bool stop, reader_gave_up;
static atomic_int looks;

static int read_number(int dir_fd, const char *name) {
        char text[16] = "";
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -1;
        n = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
        return n > 0 ? atoi(text) : -2;
}

/* Returns what is wrong, or NULL. What cannot be opened was removed between two steps of the reader, as by a kubelet.
 */
static const char *look_once(int volume_fd, int *last) {
        int fd = openat(volume_fd, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC), a, z;
        struct stat st;

        if (fstatat(volume_fd, "..data", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return "..data is missing";
        if (fstatat(volume_fd, "a", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(volume_fd, "z", &st, AT_SYMLINK_NOFOLLOW) < 0)
                return "a link is missing";
        if (fd < 0)
                return NULL;
        a = read_number(fd, "a");
        z = read_number(fd, "z/z");
        (void)close(fd);
        if (a == -2 || z == -2)
                return "an empty file";
        if (a < 0 || z < 0)
                return NULL;
        looks++;
        if (a < *last)
                return "back in time";
        *last = a;
        return a == z ? NULL : "a mixture";
}

static void *reader_loop(void *volume_fd) {
        const char *wrong = NULL;
        int last = 0;

        while (!stop && !wrong)
                wrong = look_once(*(int *)volume_fd, &last);
        reader_gave_up = wrong;
        return (void *)wrong;
}

static void write_number(int number) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", number);
        write_ok(VOLUME, PAYLOAD(-1, file("a", text, 0644), file("z/z", text, 0644)));
}

static void reader_never_sees_a_mixture(void **unused) {
        pthread_t reader;
        void *wrong;
        int before = 0, volume_fd;
        bool starves = false;

        (void)unused;
        write_number(1);
        reader_gave_up = false;
        volume_fd = open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(volume_fd >= 0);
        stop = false;
        looks = 0;
        assert_int_equal(pthread_create(&reader, NULL, reader_loop, &volume_fd), 0);
        for (int i = 2; i < 100 && !starves; i++) {
                write_number(i);
                /* The reader has looked at least once at each, unless it has given up. */
                for (time_t begun = time(NULL); looks == before && !reader_gave_up && !starves;) {
                        (void)sched_yield();
                        starves = time(NULL) > begun + 60;
                }
                before = looks;
        }
        stop = true;
        assert_int_equal(pthread_join(reader, &wrong), 0);
        (void)close(volume_fd);
        if (wrong)
                fail_msg("%s", (char *)wrong);
        assert_false(starves);
        assert_true(looks > 0);
}

/* ---- sweeping ---- */

static char asked[4096];
static const char *used;

static bool only_used(void *user, const char *dir) {
        assert_ptr_equal(user, &used);
        strcat(asked, dir);
        strcat(asked, " ");
        return streq(dir, used);
}

static int sweep_all_but(const char *dir) {
        err = (Err){ 0 };
        asked[0] = 0;
        used = dir;
        return materialise_sweep(m, only_used, &used, &err);
}

static void unused_inputs_are_swept(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        write_files("1", "1");
        before = tree_state(in_dir(root, INPUT));
        write_ok(POD "/ffff/config", PAYLOAD(-1, file("a/b/c", "1", 0), file("d", "1", 0644)));
        write_ok(POD "/ffff/two", PAYLOAD(-1, file("a", "1", 0644)));
        write_ok("default_b/1/config", PAYLOAD(-1, file("a", "1", 0644)));
        put_dir(in_dir(root, "default_empty"), 0700);
        assert_int_equal(sweep_all_but(INPUT), 0);
        assert_string_equal(asked, "default_b/1 " INPUT " " POD "/ffff ");
        assert_string_equal(names_in(root), POD);
        assert_string_equal(names_in(in_dir(root, POD)), "00112233");
        after = tree_state(in_dir(root, INPUT));
        assert_string_equal(before, after);
        assert_int_equal(sweep_all_but("none"), 0);
        assert_string_equal(names_in(root), "");
        assert_int_equal(sweep_all_but("none"), 0);
        assert_string_equal(asked, "");
        assert_int_equal(rmdir(root), 0);
        assert_int_equal(sweep_all_but("none"), 0);
}

static void sweep_leaves_what_is_not_ours(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        put_dir(in_dir(base, "outside"), 0700);
        put_dir(in_dir(base, "outside/input"), 0700);
        put_file(in_dir(base, "outside/input/file"), "", 0600);
        put_link(in_dir(root, "link"), in_dir(base, "outside"));
        put_file(in_dir(root, "file"), "", 0600);
        put_dir(in_dir(root, ".hidden"), 0700);
        put_dir(in_dir(root, ".hidden/input"), 0700);
        put_dir(in_dir(root, "pod"), 0700);
        put_file(in_dir(root, "pod/file"), "", 0600);
        put_dir(in_dir(root, "pod/.hidden"), 0700);
        put_link(in_dir(root, "pod/link"), in_dir(base, "outside"));
        before = tree_state(base);
        assert_int_equal(sweep_all_but("none"), 0);
        assert_string_equal(asked, "");
        after = tree_state(base);
        assert_string_equal(before, after);
        /* Inside a directory of ours a link is removed, not followed. */
        write_files("1", "1");
        put_link(in_volume("out"), in_dir(base, "outside"));
        put_link(in_dir(root, INPUT "/out"), in_dir(base, "outside"));
        assert_int_equal(sweep_all_but("none"), 0);
        assert_false(exists(in_dir(root, POD)));
        assert_true(exists(in_dir(base, "outside/input/file")));
}

static void sweep_finishes_a_broken_one(void **unused) {
        (void)unused;
        put_dir(in_dir(root, POD), 0700);
        put_dir(in_dir(root, POD "/..tmp-gone"), 0700);
        put_file(in_dir(root, POD "/..tmp-gone/file"), "old", 0600);
        put_dir(in_dir(root, INPUT), 0700);
        assert_int_equal(sweep_all_but(INPUT), 0);
        assert_string_equal(names_in(in_dir(root, POD)), "00112233");
        put_dir(in_dir(root, POD "/..tmp-gone"), 0700);
        put_file(in_dir(root, POD "/..tmp-gone/file"), "old", 0600);
        assert_int_equal(sweep_all_but("none"), 0);
        assert_string_equal(names_in(root), "");
}

/* Takes away under the sweep's hands what it asks about, and all the rest. */
static bool vanish(void *user, const char *dir) {
        int *calls = user;

        (void)dir;
        (*calls)++;
        assert_int_equal(rename(root, in_dir(base, "vanished")), 0);
        tmpdir_free(strdup(in_dir(base, "vanished")));
        return false;
}

static void sweep_survives_what_vanishes(void **unused) {
        int calls = 0;

        (void)unused;
        write_files("1", "1");
        write_ok("default_b/1/config", PAYLOAD(-1, file("a", "1", 0644)));
        assert_int_equal(materialise_sweep(m, vanish, &calls, &err), 0);
        assert_int_equal(calls, 1);
}

static void sweep_goes_on_after_a_failure(void **unused) {
        char path[1024];

        (void)unused;
        write_files("1", "1");
        write_ok("default_b/1/config", PAYLOAD(-1, file("a", "1", 0644)));
        write_ok("default_b/2/config", PAYLOAD(-1, file("a", "1", 0644)));
        (void)snprintf(path, sizeof(path), "default_b/1");
        for (int i = 0; i < 200; i++) {
                strcat(path, "/d");
                put_dir(in_dir(root, path), 0700);
        }
        put_file(in_dir(root, "default_b/1/file"), "", 0600);
        assert_int_equal(sweep_all_but("none"), -ENAMETOOLONG);
        assert_non_null(strstr(err.message, "default_b"));
        assert_string_equal(names_in(root), "default_b");
        assert_string_equal(names_in(in_dir(root, "default_b")), "..tmp-1");
        assert_string_equal(names_in(in_dir(root, "default_b/..tmp-1")), "d");
}

static int sweep_over_a_mount(void) {
        const char *path = in_dir(root, INPUT "/mounted");

        if (mkdir(path, 0700) < 0)
                return 1;
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", path, "tmpfs", 0, NULL) < 0)
                return 77;
        put_file(in_dir(path, "precious"), "", 0600);
        if (sweep_all_but("none") >= 0)
                return 2;
        return streq(names_in(in_dir(root, POD "/..tmp-00112233/mounted")), "precious") ? 0 : 3;
}

static void sweep_enters_no_other_file_system(void **unused) {
        (void)unused;
        write_files("1", "1");
        in_child(sweep_over_a_mount);
}

/* ---- memory ---- */

static int oom_story(void *unused) {
        Payload first = PAYLOAD(-1, file("a", "1", 0644), file("dir/b", "1", 0644));
        Payload second = PAYLOAD(-1, file("a", "2", 0644), file("new/b", "2", 0644));
        Materialise *mine = NULL;
        int r;

        (void)unused;
        err = (Err){ 0 };
        r = materialise_open(root, false, &mine, &err);
        if (r == 0)
                r = materialise_write(mine, VOLUME, &first, &err);
        if (r == 0)
                r = materialise_write(mine, VOLUME, &second, &err);
        if (r == 0)
                r = materialise_write(mine, VOLUME, &second, &err);
        if (r == 0)
                r = materialise_sweep(mine, in_none, NULL, &err);
        materialise_free(mine);
        if (r == -ENOMEM)
                assert_string_equal(err.message, "out of memory");
        if (exists(volume))
                assert_true(file_is(in_volume("..data/a"), "1") || file_is(in_volume("..data/a"), "2"));
        return r;
}

static void out_of_memory(void **unused) {
        size_t failed;

        (void)unused;
        failed = test_oom(oom_story, NULL);
        assert_true(failed == 0 || failed > 40);
        assert_int_equal(sweep_all_but("none"), 0);
        assert_string_equal(names_in(root), "");
}

/* ---- one call, for faults ---- */

static int fail_with_message(void) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
}

static int write_generation(const char *where, const char *generation, const char *enforce) {
        char only[64];

        (void)snprintf(only, sizeof(only), "only-%s/x", generation);
        if (materialise_open(where, false, &m, &err) < 0)
                return fail_with_message();
        materialise_set_selinux(m, enforce);
        if (try_write(VOLUME, PAYLOAD(-1, file("a", generation, 0644), file("dir/b", generation, 0600),
                                      file("dir/deep/c", generation, 0640), file(only, generation, 0644))) < 0)
                return fail_with_message();
        materialise_free(m);
        return 0;
}

static int sweep_everything(const char *where) {
        if (materialise_open(where, false, &m, &err) < 0 || materialise_sweep(m, in_none, NULL, &err) < 0)
                return fail_with_message();
        materialise_free(m);
        return 0;
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int run_all(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(layout_and_modes),
                WORLD_TEST(data_directory_is_named_by_the_hash),
                WORLD_TEST(volume_without_files),
                WORLD_TEST(volumes_beside_each_other),
                WORLD_TEST(content_of_any_bytes),
                WORLD_TEST(change_is_a_swap),
                WORLD_TEST(mode_alone_is_a_change),
                WORLD_TEST(equal_content_touches_nothing),
                WORLD_TEST(missing_link_is_put_back),
                WORLD_TEST(wrong_entries_are_put_right),
                WORLD_TEST(entries_of_others_stay),
                WORLD_TEST(leftovers_are_removed),
                WORLD_TEST(half_made_data_is_not_believed),
                WORLD_TEST(first_write_after_a_broken_one),
                WORLD_TEST(volume_modes_are_mended),
                WORLD_TEST(root_that_vanished_is_made_again),
                WORLD_TEST(files_of_a_group),
                WORLD_TEST(own_group_takes_no_rights),
                WORLD_TEST(group_of_others_needs_root),
                WORLD_TEST(sandbox_without_setgid),
                WORLD_TEST(everything_is_labelled),
                WORLD_TEST(label_that_cannot_be_set),
                WORLD_TEST(file_system_without_labels),
                WORLD_TEST(links_above_are_refused),
                WORLD_TEST(volume_that_is_no_directory),
                WORLD_TEST(data_that_leads_outside),
                WORLD_TEST(strangers_directories_are_refused),
                WORLD_TEST(names_that_are_refused),
                WORLD_TEST(messages_name_no_content),
                WORLD_TEST(longest_names),
                WORLD_TEST(deepest_path),
                WORLD_TEST(many_files),
                WORLD_TEST(reading_only_makes_nothing),
                WORLD_TEST(roots_of_all_kinds),
                WORLD_TEST(reader_never_sees_a_mixture),
                WORLD_TEST(unused_inputs_are_swept),
                WORLD_TEST(sweep_leaves_what_is_not_ours),
                WORLD_TEST(sweep_finishes_a_broken_one),
                WORLD_TEST(sweep_survives_what_vanishes),
                WORLD_TEST(sweep_goes_on_after_a_failure),
                WORLD_TEST(sweep_enters_no_other_file_system),
                WORLD_TEST(out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The same as an ordinary user. */
static int run_as_nobody(void) {
        int status = 1;
        pid_t pid = fork();

        if (pid == 0) {
                if (setgid(65534) < 0 || setuid(65534) < 0)
                        _exit(1);
                _exit(run_all() != 0);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

int main(int argc, char *argv[]) {
        int failed;

        if (argc == 5 && streq(argv[1], "write"))
                return write_generation(argv[2], argv[3], argv[4]);
        if (argc == 3 && streq(argv[1], "sweep"))
                return sweep_everything(argv[2]);
        /* In memory where that can be: tens of thousands of files are synced. */
        if (access("/dev/shm", W_OK) == 0)
                (void)setenv("TMPDIR", "/dev/shm", 0);
        failed = run_all();
        return geteuid() == 0 ? failed + run_as_nobody() : failed;
}
