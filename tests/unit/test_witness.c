/* SPDX-License-Identifier: Apache-2.0 */
#include "io/witness.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define A "0a1b2c3d-0001-8abc-8def-0123456789ab"
#define A_ "0a1b2c3d_0001_8abc_8def_0123456789ab"
#define B "0a1b2c3d-0002-8abc-8def-0123456789ab"
#define B_ "0a1b2c3d_0002_8abc_8def_0123456789ab"
#define HASH "0123456789abcdef0123456789abcdef"

/* ---- a world: the cgroups and the kubelet's root ---- */

static char *base;
static WitnessView *view;

static int set_up(void **unused) {
        (void)unused;
        base = tmpdir_new();
        put_dir(in_dir(base, "cgroup"), 0755);
        put_dir(in_dir(base, "kubelet"), 0755);
        return 0;
}

static int tear_down(void **unused) {
        (void)unused;
        view = witness_free(view);
        tmpdir_free(base);
        return 0;
}

/* Makes a directory and all above it, or a file where the path ends in "=<text>". */
static void put(const char *path) {
        char copy[4096];
        const char *text = strchr(path, '=');
        size_t len = text ? (size_t)(text - path) : strlen(path);

        assert_true(len < sizeof(copy));
        memcpy(copy, path, len);
        copy[len] = 0;
        for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = 0;
                put_dir(in_dir(base, copy), 0755);
                *slash = '/';
        }
        if (text)
                put_file(in_dir(base, copy), text + 1, 0644);
        else
                put_dir(in_dir(base, copy), 0755);
}

static WitnessPaths paths(void) {
        return (WitnessPaths){ in_dir(base, "cgroup"), in_dir(base, "kubelet") };
}

static const WitnessView *look(void) {
        const WitnessPaths p = paths();

        view = witness_free(view);
        assert_int_equal(witness_look(&p, &view), 0);
        assert_non_null(view);
        return view;
}

static const char *word(Witness w) {
        static const char *const words[] = {
                [WITNESS_UNKNOWN] = "unknown",
                [WITNESS_RUNNING] = "running",
                [WITNESS_TERMINATING] = "terminating",
                [WITNESS_GONE] = "gone",
        };

        return words[w];
}

static void expect(const char *uid, Witness want) {
        Witness have = witness_of(view, uid);

        if (have != want)
                fail_msg("%s: %s instead of %s", uid ? uid : "NULL", word(have), word(want));
}

/* ---- every layout: A has processes, B has none ---- */

#define EVENTS(n) "/cgroup.events=populated " #n "\nfrozen 0\n"
#define V2 "cgroup/cgroup.controllers=cpu memory\n"
#define IN_POD "/cri-0123.scope"
#define PROCS "/cgroup.procs=17\n18\n"
#define NO_PROCS "/cgroup.procs="

/* What is made for A with processes, and for B without. */
typedef struct Layout {
        const char *name;
        const char *made[8];
} Layout;

static const Layout layouts[] = {
        { "v2, cgroupfs, guaranteed", { V2, "cgroup/kubepods/pod" A EVENTS(1), "cgroup/kubepods/pod" B EVENTS(0) } },
        { "v2, cgroupfs, burstable",
          { V2, "cgroup/kubepods/burstable/pod" A EVENTS(1), "cgroup/kubepods/burstable/pod" B EVENTS(0) } },
        { "v2, cgroupfs, best effort",
          { V2, "cgroup/kubepods/besteffort/pod" A EVENTS(1), "cgroup/kubepods/besteffort/pod" B EVENTS(0) } },
        { "v2, cgroupfs, a root of its own",
          { V2, "cgroup/kubelet/kubepods/pod" A EVENTS(1), "cgroup/kubelet/kubepods/burstable/pod" B EVENTS(0) } },
        { "v2, systemd, guaranteed",
          { V2, "cgroup/kubepods.slice/kubepods-pod" A_ ".slice" EVENTS(1),
            "cgroup/kubepods.slice/kubepods-pod" B_ ".slice" EVENTS(0) } },
        { "v2, systemd, burstable and best effort",
          { V2, "cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" A_ ".slice" EVENTS(1),
            "cgroup/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" B_ ".slice" EVENTS(0) } },
        { "v2, systemd, a root of its own",
          { V2,
            "cgroup/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
            "kubelet-kubepods-burstable-pod" A_ ".slice" EVENTS(1),
            "cgroup/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" B_ ".slice" EVENTS(0) } },
        { "v2, systemd, a root that is called as a pod is",
          { V2, "cgroup/pod.slice/pod-kubepods.slice/pod-kubepods-pod" A_ ".slice" EVENTS(1),
            "cgroup/pod.slice/pod-kubepods.slice/pod-kubepods-pod" B_ ".slice" EVENTS(0) } },
        { "v2, three levels down",
          { V2, "cgroup/a.slice/a-b.slice/kubepods/pod" A EVENTS(1),
            "cgroup/a.slice/a-b.slice/kubepods/pod" B EVENTS(0) } },
        { "v2, two trees", { V2, "cgroup/kubepods/pod" A EVENTS(1), "cgroup/kubelet/kubepods/pod" B EVENTS(0) } },
        { "v2, one pod in two trees",
          { V2, "cgroup/kubepods/pod" A EVENTS(0), "cgroup/z/kubepods/pod" A EVENTS(1),
            "cgroup/z/kubepods/pod" B EVENTS(0), "cgroup/kubepods/pod" B EVENTS(0) } },
        { "v2, populated is not the first word",
          { V2, "cgroup/kubepods/pod" A "/cgroup.events=frozen 0\npopulated 1\n",
            "cgroup/kubepods/pod" B "/cgroup.events=frozen 1\npopulated 0\n" } },
        { "v2, processes are not looked for in cgroup.procs",
          { V2, "cgroup/kubepods/pod" A EVENTS(1), "cgroup/kubepods/pod" B EVENTS(0), "cgroup/kubepods/pod" B PROCS } },
        { "v2, what cannot be read counts as processes",
          { V2, "cgroup/kubepods/pod" A "/cgroup.events=", "cgroup/kubepods/pod" B EVENTS(0) } },
        { "v1, memory, cgroupfs",
          { "cgroup/memory/kubepods/burstable/pod" A NO_PROCS, "cgroup/memory/kubepods/burstable/pod" A IN_POD PROCS,
            "cgroup/memory/kubepods/besteffort/pod" B NO_PROCS,
            "cgroup/memory/kubepods/besteffort/pod" B IN_POD NO_PROCS } },
        { "v1, memory, systemd",
          { "cgroup/memory/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" A_ ".slice" NO_PROCS,
            "cgroup/memory/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" A_ ".slice" IN_POD PROCS,
            "cgroup/memory/kubepods.slice/kubepods-pod" B_ ".slice" NO_PROCS } },
        { "v1, the pod's own processes",
          { "cgroup/pids/kubepods/pod" A PROCS, "cgroup/pids/kubepods/pod" B NO_PROCS } },
        { "v1, processes three levels below the pod",
          { "cgroup/pids/kubepods/pod" A NO_PROCS, "cgroup/pids/kubepods/pod" A "/c" NO_PROCS,
            "cgroup/pids/kubepods/pod" A "/c/system.slice" NO_PROCS,
            "cgroup/pids/kubepods/pod" A "/c/system.slice/a.service" PROCS, "cgroup/pids/kubepods/pod" B NO_PROCS } },
        { "v1, a container that vanishes",
          { "cgroup/pids/kubepods/pod" A NO_PROCS, "cgroup/pids/kubepods/pod" A "/a",
            "cgroup/pids/kubepods/pod" A "/b" PROCS, "cgroup/pids/kubepods/pod" A "/c",
            "cgroup/pids/kubepods/pod" B NO_PROCS, "cgroup/pids/kubepods/pod" B "/a" } },
        { "v1, cpu,cpuacct",
          { "cgroup/cpu,cpuacct/kubepods/pod" A PROCS, "cgroup/cpu,cpuacct/kubepods/pod" B NO_PROCS } },
        { "v1, cpu", { "cgroup/cpu/kubepods/pod" A PROCS, "cgroup/cpu/kubepods/pod" B NO_PROCS } },
        { "v1, systemd's hierarchy",
          { "cgroup/systemd/kubepods/pod" A PROCS, "cgroup/systemd/kubepods/pod" B NO_PROCS } },
        { "v1, a root of its own",
          { "cgroup/memory/kubelet/kubepods/pod" A PROCS, "cgroup/memory/kubelet/kubepods/pod" B NO_PROCS } },
        { "v1, memory is there, but without a tree",
          { "cgroup/memory/system.slice", "cgroup/pids/kubepods/pod" A PROCS, "cgroup/pids/kubepods/pod" B NO_PROCS } },
        { "v1, the first hierarchy is enough",
          { "cgroup/memory/kubepods/pod" A PROCS, "cgroup/memory/kubepods/pod" B NO_PROCS,
            "cgroup/pids/kubepods/pod" B PROCS } },
        { "hybrid, the tree is in v1",
          { "cgroup/memory/kubepods/pod" A PROCS, "cgroup/memory/kubepods/pod" B NO_PROCS,
            "cgroup/unified/cgroup.controllers=", "cgroup/unified/system.slice" } },
        { "hybrid, the tree is in v2",
          { "cgroup/systemd/system.slice", "cgroup/unified/cgroup.controllers=cpu\n",
            "cgroup/unified/kubepods/pod" A EVENTS(1), "cgroup/unified/kubepods/pod" B EVENTS(0) } },
};

static void test_layout(void **state) {
        const Layout *layout = *state;
        WitnessPaths p;

        for (size_t i = 0; i < ARRAY_SIZE(layout->made) && layout->made[i]; i++)
                put(layout->made[i]);
        look();
        expect(A, WITNESS_RUNNING);
        expect(B, WITNESS_TERMINATING);
        assert_true(witness_knows(view));
        assert_false(witness_no_cgroups(view));

        /* The end of a pod, its directory being there for a while. */
        put("kubelet/pods/" A);
        look();
        expect(A, WITNESS_RUNNING);
        p = paths();
        p.cgroup_dir = in_dir(base, "none");
        view = witness_free(view);
        assert_int_equal(witness_look(&p, &view), 0);
        expect(A, WITNESS_UNKNOWN);
        expect(B, WITNESS_GONE);
}

/* ---- what is no pod ---- */

typedef struct Stranger {
        const char *name;
        const char *made[4]; /* with these in the trees there is still no cgroup of A */
} Stranger;

static const Stranger strangers[] = {
        { "vanished", { V2, "cgroup/kubepods/pod" A } },
        { "another qos", { V2, "cgroup/kubepods/gold/pod" A EVENTS(1) } },
        { "qos in qos", { V2, "cgroup/kubepods/burstable/burstable/pod" A EVENTS(1) } },
        { "no pod before it", { V2, "cgroup/kubepods/" A EVENTS(1) } },
        { "something before it", { V2, "cgroup/kubepods/xpod" A EVENTS(1) } },
        { "something behind it", { V2, "cgroup/kubepods/pod" A "x" EVENTS(1) } },
        { "a suffix", { V2, "cgroup/kubepods/pod" A ".slice" EVENTS(1) } },
        { "one digit is none", { V2, "cgroup/kubepods/pod0a1b2c3g-0001-8abc-8def-0123456789ab" EVENTS(1) } },
        { "a dash in another place", { V2, "cgroup/kubepods/pod0a1b2c3-d0001-8abc-8def-0123456789ab" EVENTS(1) } },
        { "short", { V2, "cgroup/kubepods/pod0a1b2c3d" EVENTS(1) } },
        { "pod without a uid", { V2, "cgroup/kubepods/pod" EVENTS(1) } },
        { "dashes in a slice", { V2, "cgroup/kubepods.slice/kubepods-pod" A ".slice" EVENTS(1) } },
        { "no dashes without a slice", { V2, "cgroup/kubepods/pod" A_ EVENTS(1) } },
        { "a slice without its parent's name", { V2, "cgroup/kubepods.slice/pod" A_ ".slice" EVENTS(1) } },
        { "a scope", { V2, "cgroup/kubepods.slice/kubepods-pod" A_ ".scope" EVENTS(1) } },
        { "no suffix", { V2, "cgroup/kubepods.slice/kubepods-pod" A_ EVENTS(1) } },
        { "no dash before pod", { V2, "cgroup/kubepods.slice/kubepods_pod" A_ ".slice" EVENTS(1) } },
        { "a file", { V2, "cgroup/kubepods/pod" A "=" } },
        { "too deep", { V2, "cgroup/kubepods/x", "cgroup/a/b/c/kubepods/pod" A EVENTS(1) } },
        { "in a service", { V2, "cgroup/kubepods/x", "cgroup/a.service/kubepods/pod" A EVENTS(1) } },
        { "in a pod", { V2, "cgroup/kubepods/pod" B "/kubepods/pod" A EVENTS(1) } },
        { "kubepods with something behind it", { V2, "cgroup/kubepods/x", "cgroup/kubepods-a/pod" A EVENTS(1) } },
        { "kubepods with something before it",
          { V2, "cgroup/kubepods/x", "cgroup/akubepods.slice/kubepods-pod" A_ ".slice" EVENTS(1) } },
        { "a hierarchy of another name", { "cgroup/pids/kubepods/x", "cgroup/net_cls/kubepods/pod" A PROCS } },
        { "v1, vanished", { "cgroup/pids/kubepods/pod" A, "cgroup/pids/kubepods/pod" A "/c" PROCS } },
        { "v2 does not look at controllers", { V2, "cgroup/kubepods/x", "cgroup/memory/a/b/kubepods/pod" A PROCS } },
};

static void test_stranger(void **state) {
        const Stranger *stranger = *state;

        put("kubelet/pods");
        for (size_t i = 0; i < ARRAY_SIZE(stranger->made) && stranger->made[i]; i++)
                put(stranger->made[i]);
        look();
        expect(A, WITNESS_GONE);
        assert_true(witness_knows(view));
}

/* ---- the table of the header ---- */

/* t tree that is read, with A's cgroup: + processes, - none; p a tree that is read in part; n none; c no cgroups. */
typedef struct Row {
        const char *name;
        char cgroups, cgroup;
        bool directory;
        char pods; /* r read, a absent, u unreadable */
        Witness want;
        bool knows, no_cgroups;
} Row;

#define RUNNING WITNESS_RUNNING
#define TERMINATING WITNESS_TERMINATING
#define GONE WITNESS_GONE
#define UNKNOWN WITNESS_UNKNOWN

static const Row rows[] = {
        { "processes, directory", 't', '+', true, 'r', RUNNING, true, false },
        { "processes, no directory", 't', '+', false, 'r', RUNNING, true, false },
        { "processes, no pods directory", 't', '+', false, 'a', RUNNING, true, false },
        { "processes, unreadable pods directory", 't', '+', false, 'u', RUNNING, true, false },
        { "processes, part of the tree", 'p', '+', false, 'r', RUNNING, true, false },
        { "empty cgroup, directory", 't', '-', true, 'r', TERMINATING, true, false },
        { "empty cgroup, no directory", 't', '-', false, 'r', TERMINATING, true, false },
        { "empty cgroup, no pods directory", 't', '-', false, 'a', TERMINATING, true, false },
        { "empty cgroup, unreadable pods directory", 't', '-', false, 'u', TERMINATING, true, false },
        { "empty cgroup, part of the tree", 'p', '-', true, 'r', TERMINATING, true, false },
        { "tree, directory", 't', 0, true, 'r', TERMINATING, true, false },
        { "tree, no directory", 't', 0, false, 'r', GONE, true, false },
        { "tree, no pods directory", 't', 0, false, 'a', GONE, true, false },
        { "tree, unreadable pods directory", 't', 0, false, 'u', UNKNOWN, true, false },
        { "no tree, directory", 'n', 0, true, 'r', UNKNOWN, true, true },
        { "no tree, no directory", 'n', 0, false, 'r', GONE, true, true },
        { "no tree, no pods directory", 'n', 0, false, 'a', UNKNOWN, false, true },
        { "no tree, unreadable pods directory", 'n', 0, false, 'u', UNKNOWN, false, true },
        { "no cgroups, directory", 'c', 0, true, 'r', UNKNOWN, true, false },
        { "no cgroups, no directory", 'c', 0, false, 'r', GONE, true, false },
        { "no cgroups, no pods directory", 'c', 0, false, 'a', UNKNOWN, false, false },
        { "part of the tree, directory", 'p', 0, true, 'r', UNKNOWN, true, false },
        { "part of the tree, no directory", 'p', 0, false, 'r', UNKNOWN, true, false },
        { "part of the tree, no pods directory", 'p', 0, false, 'a', UNKNOWN, true, false },
        { "part of the tree, unreadable pods directory", 'p', 0, false, 'u', UNKNOWN, true, false },
};

/* Nothing is closed to root, so that it takes somebody else to find a directory unreadable. Works below the base, as
 * the way to it may be closed to that one. */
static void look_as_nobody(void) {
        const WitnessPaths p = { "cgroup", "kubelet" };
        uid_t user = geteuid();
        int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        assert_true(cwd >= 0);
        assert_int_equal(chmod(base, 0755), 0);
        assert_int_equal(chdir(base), 0);
        if (user == 0 && seteuid(65534) < 0) {
                assert_int_equal(fchdir(cwd), 0);
                assert_int_equal(close(cwd), 0);
                skip();
        }
        view = witness_free(view);
        r = witness_look(&p, &view);
        assert_int_equal(seteuid(user), 0);
        assert_int_equal(fchdir(cwd), 0);
        assert_int_equal(close(cwd), 0);
        assert_int_equal(r, 0);
}

static void test_row(void **state) {
        const Row *row = *state;

        if (row->cgroups != 'c')
                put("cgroup/cgroup.controllers=");
        if (row->cgroups == 'n')
                put("cgroup/system.slice/a.service");
        if (row->cgroups == 't' || row->cgroups == 'p')
                put("cgroup/kubepods/burstable/pod" B EVENTS(1));
        if (row->cgroups == 'p')
                put("cgroup/kubepods/besteffort");
        if (row->cgroup)
                put(row->cgroup == '+' ? "cgroup/kubepods/burstable/pod" A EVENTS(1)
                                       : "cgroup/kubepods/burstable/pod" A EVENTS(0));
        if (row->pods == 'u')
                put_dir(in_dir(base, "kubelet/pods"), 0);
        else if (row->pods == 'r')
                put("kubelet/pods");
        if (row->directory)
                put("kubelet/pods/" A);
        if (row->cgroups == 'p')
                put_dir(in_dir(base, "cgroup/kubepods/besteffort"), 0);
        look_as_nobody();
        expect(A, row->want);
        assert_int_equal(witness_knows(view), row->knows);
        assert_int_equal(witness_no_cgroups(view), row->no_cgroups);
}

/* ---- directories ---- */

static void test_names_of_directories(void **unused) {
        (void)unused;
        put("cgroup/memory/kubepods");
        put("kubelet/pods/" HASH);
        put("kubelet/pods/0A1B2C3D-0001-8ABC-8DEF-0123456789AB");
        put("kubelet/pods/" A "=a file");
        put("kubelet/pods/" B_);
        put("kubelet/pods/x");
        put("kubelet/pods/pod" B);
        put_link(in_dir(base, "kubelet/pods/" B), "x");
        look();
        expect(HASH, TERMINATING);
        expect("0A1B2C3D-0001-8ABC-8DEF-0123456789AB", TERMINATING);
        expect(A, GONE);
        expect(B, GONE);
}

/* What was not looked for is not known to be gone. */
static void test_no_uid(void **unused) {
        (void)unused;
        put("cgroup/memory/kubepods");
        put("kubelet/pods/x");
        look();
        expect(A, GONE);
        expect(HASH, GONE);
        expect(NULL, UNKNOWN);
        expect("", UNKNOWN);
        expect("x", UNKNOWN);
        expect(A "0", UNKNOWN);
        expect(A_, UNKNOWN);
        expect("0a1b2c3d00001-8abc-8def-0123456789ab", UNKNOWN);
        expect("0123456789abcdef0123456789abcde", UNKNOWN);
        assert_int_equal(witness_of(NULL, A), UNKNOWN);
        assert_false(witness_knows(NULL));
        assert_false(witness_no_cgroups(NULL));
        assert_null(witness_free(NULL));
}

static void test_hash_in_cgroups(void **unused) {
        (void)unused;
        put("cgroup/cgroup.controllers=");
        put("cgroup/kubepods.slice/kubepods-pod" HASH ".slice" EVENTS(1));
        put("cgroup/kubepods/podfedcba98765432100123456789abcdef" EVENTS(1));
        look();
        expect(HASH, RUNNING);
        expect("fedcba98765432100123456789abcdef", RUNNING);
        expect(A, GONE);
}

/* ---- links ---- */

static void test_links_in_the_trees(void **unused) {
        static const struct Link {
                const char *made, *link, *target;
        } links[] = {
                { "cgroup/kubepods/burstable", "cgroup/kubepods/burstable/pod" A, "../../../outside/kubepods/pod" A },
                { "cgroup/kubepods", "cgroup/kubepods/besteffort", "../../outside/kubepods" },
                { "cgroup/kubelet", "cgroup/kubelet/kubepods", "../../outside/kubepods" },
                { "cgroup/a", "cgroup/b", "../outside" },
                { "cgroup/kubepods/pod" HASH, "cgroup/kubepods/pod" HASH "/cgroup.events",
                  "../../../outside/kubepods/pod" B "/cgroup.events" },
                { "cgroup", "cgroup/memory", "../outside" },
        };

        (void)unused;
        put("outside/kubepods/pod" A EVENTS(1));
        put("outside/kubepods/pod" A PROCS);
        put("outside/kubepods/pod" B EVENTS(0));
        for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
                put(links[i].made);
                put_link(in_dir(base, links[i].link), links[i].target);
        }
        put("cgroup/cgroup.controllers=");
        look();
        expect(A, GONE);
        expect(B, GONE);
        expect(HASH, RUNNING); /* as a file that cannot be read */
        assert_int_equal(unlink(in_dir(base, "cgroup/cgroup.controllers")), 0);
        put("cgroup/pids/kubepods");
        look();
        expect(A, GONE);
}

/* The ways to the trees are the administrator's. */
static void test_links_to_the_trees(void **unused) {
        (void)unused;
        put("real/cgroup/memory/kubepods/pod" A PROCS);
        put("real/pods/" B);
        put("real/kubelet");
        assert_int_equal(rmdir(in_dir(base, "cgroup")), 0);
        assert_int_equal(rmdir(in_dir(base, "kubelet")), 0);
        put_link(in_dir(base, "cgroup"), "real/cgroup");
        put_link(in_dir(base, "kubelet"), "real/kubelet");
        put_link(in_dir(base, "kubelet/pods"), "../pods");
        look();
        expect(A, RUNNING);
        expect(B, TERMINATING);
        expect(HASH, GONE);
}

/* A pods directory that is no directory is not read; a missing root is as good as a missing pods directory. */
static void test_odd_kubelet_roots(void **unused) {
        (void)unused;
        put("cgroup/memory/kubepods");
        put("kubelet/pods=");
        look();
        expect(A, UNKNOWN);
        assert_int_equal(unlink(in_dir(base, "kubelet/pods")), 0);
        assert_int_equal(rmdir(in_dir(base, "kubelet")), 0);
        look();
        expect(A, GONE);
}

/* Whether a host without a kubepods tree was looked through is said only if it was. */
static void test_no_cgroups(void **unused) {
        (void)unused;
        look();
        assert_false(witness_no_cgroups(view)); /* no hierarchy that is known */
        put("cgroup/memory/system.slice");
        put("cgroup/pids");
        look();
        assert_true(witness_no_cgroups(view));
        put("cgroup/pids/a/b/c");
        look_as_nobody();
        assert_true(witness_no_cgroups(view));
        put_dir(in_dir(base, "cgroup/pids/a/b"), 0);
        look_as_nobody();
        assert_false(witness_no_cgroups(view));
        put("cgroup/pids/kubepods");
        look();
        assert_false(witness_no_cgroups(view));
}

/* ---- bounds ---- */

/* before, the number as four hex digits, behind. */
static void put_many(const char *before, const char *behind, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char name[256];

                (void)snprintf(name, sizeof(name), "%s%04x%s", before, i, behind);
                put(name);
        }
}

/* A search that is given up says so; trees above that were found before. */
static void test_search_is_bounded(void **unused) {
        (void)unused;
        put("cgroup/cgroup.controllers=");
        put_many("cgroup/a/", "", 4200);
        look();
        assert_false(witness_knows(view));
        assert_false(witness_no_cgroups(view));
        put("cgroup/z/kubepods/pod" A EVENTS(1));
        put("cgroup/kubepods/pod" B EVENTS(1));
        look();
        expect(B, RUNNING);
}

/* Where not all was looked at there may be processes. */
static void test_processes_are_bounded(void **unused) {
        (void)unused;
        put("cgroup/memory/kubepods/pod" A NO_PROCS);
        put("cgroup/memory/kubepods/pod" A "/a" NO_PROCS);
        put("cgroup/memory/kubepods/pod" A "/a/b" NO_PROCS);
        put("cgroup/memory/kubepods/pod" A "/a/b/c" NO_PROCS);
        put("cgroup/memory/kubepods/pod" B NO_PROCS);
        put_many("cgroup/memory/kubepods/pod" B "/", NO_PROCS, 250);
        look();
        expect(A, TERMINATING);
        expect(B, TERMINATING);
        put("cgroup/memory/kubepods/pod" A "/a/b/c/d" NO_PROCS);
        put_many("cgroup/memory/kubepods/pod" B "/x", NO_PROCS, 50);
        look();
        expect(A, RUNNING);
        expect(B, RUNNING);
}

/* A pipe or a huge file where the kernel has a small one. */
static void test_odd_files(void **unused) {
        static char text[20000];
        char path[30000];

        (void)unused;
        memset(text, 'x', sizeof(text) - 1);
        put("cgroup/cgroup.controllers=");
        put("cgroup/kubepods/pod" A);
        assert_int_equal(mkfifo(in_dir(base, "cgroup/kubepods/pod" A "/cgroup.events"), 0600), 0);
        (void)snprintf(path, sizeof(path), "cgroup/kubepods/pod%s/cgroup.events=%s", B, text);
        put(path);
        put("cgroup/kubepods/pod" HASH "/cgroup.events/directory");
        look();
        expect(A, RUNNING);
        expect(B, RUNNING);
        expect(HASH, RUNNING);
}

static void test_many_pods(void **unused) {
        char uid[64];

        (void)unused;
        put("cgroup/cgroup.controllers=");
        put_many("cgroup/kubepods/besteffort/pod0a1b2c3d-", "-8abc-8def-0123456789ab" EVENTS(1), 300);
        put_many("kubelet/pods/0a1b2c3d-", "-8abc-8def-0123456789ab", 500);
        look();
        for (unsigned i = 0; i < 600; i++) {
                (void)snprintf(uid, sizeof(uid), "0a1b2c3d-%04x-8abc-8def-0123456789ab", i);
                expect(uid, i < 300 ? RUNNING : i < 500 ? TERMINATING : GONE);
        }
}

/* ---- races ---- */

/* One that comes and goes, with all its directories, as fast as it can; no longer than the test lives. */
static _Noreturn void flicker(int ready) {
        char pod[4096], spare[4096], directory[4096];

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)snprintf(pod, sizeof(pod), "%s/cgroup/memory/kubepods/pod" A, base);
        (void)snprintf(spare, sizeof(spare), "%s/spare", base);
        (void)snprintf(directory, sizeof(directory), "%s/kubelet/pods/" A, base);
        for (unsigned i = 0;; i++) {
                if (rename(spare, pod) < 0 || mkdir(directory, 0755) < 0)
                        _exit(1);
                if (i == 0 && write(ready, "", 1) != 1)
                        _exit(1);
                if (rename(pod, spare) < 0 || rmdir(directory) < 0)
                        _exit(1);
        }
}

static void test_pods_that_vanish_meanwhile(void **unused) {
        int ready[2], status;
        pid_t child;
        char c;

        (void)unused;
        put("cgroup/memory/kubepods/pod" B PROCS);
        put("spare" NO_PROCS);
        put("spare/c" PROCS);
        put("kubelet/pods");
        assert_int_equal(pipe(ready), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                flicker(ready[1]);
        assert_int_equal(close(ready[1]), 0);
        assert_int_equal(read(ready[0], &c, 1), 1);
        assert_int_equal(close(ready[0]), 0);
        for (unsigned i = 0; i < 500; i++) {
                look();
                assert_int_not_equal(witness_of(view, A), UNKNOWN);
                expect(B, RUNNING);
                expect(HASH, GONE);
        }
        assert_int_equal(waitpid(child, &status, WNOHANG), 0); /* it did so all the time */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
}

/* ---- out of memory ---- */

static int look_once(void *user) {
        WitnessView *v = NULL;
        int r = witness_look(user, &v);

        assert_int_equal(v != NULL, r == 0);
        witness_free(v);
        return r;
}

static void test_out_of_memory(void **unused) {
        WitnessPaths p;

        (void)unused;
        put("cgroup/memory/system.slice/a.slice");
        put("cgroup/pids/kubepods/burstable/pod" A NO_PROCS);
        put("cgroup/pids/kubepods/burstable/pod" A "/c" PROCS);
        put("cgroup/pids/kubelet/kubepods/pod" B NO_PROCS);
        put("kubelet/pods/" A);
        p = paths();
        (void)test_oom(look_once, &p);
        put("cgroup/cgroup.controllers=");
        put("cgroup/kubepods/burstable/pod" A EVENTS(1));
        (void)test_oom(look_once, &p);
}

/* ---- the program ---- */

/* `test_witness CGROUP_DIR KUBELET_ROOT [UID...]` looks once and says what it saw of each, for tests on real cgroups.
 */
static int say(char **arguments) {
        const WitnessPaths p = { arguments[0], arguments[1] };
        WitnessView *v;

        if (witness_look(&p, &v) < 0)
                return 1;
        for (char **uid = arguments + 2; *uid; uid++)
                (void)puts(word(witness_of(v, *uid)));
        witness_free(v);
        return 0;
}

#define PLAIN(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static const struct CMUnitTest plain[] = {
        PLAIN(test_names_of_directories),
        PLAIN(test_no_uid),
        PLAIN(test_hash_in_cgroups),
        PLAIN(test_links_in_the_trees),
        PLAIN(test_links_to_the_trees),
        PLAIN(test_odd_kubelet_roots),
        PLAIN(test_no_cgroups),
        PLAIN(test_search_is_bounded),
        PLAIN(test_processes_are_bounded),
        PLAIN(test_odd_files),
        PLAIN(test_many_pods),
        PLAIN(test_pods_that_vanish_meanwhile),
        PLAIN(test_out_of_memory),
};

static struct CMUnitTest tests[ARRAY_SIZE(layouts) + ARRAY_SIZE(strangers) + ARRAY_SIZE(rows) + ARRAY_SIZE(plain)];
static size_t n_tests;

/* A test of its own for each row of a table. cmocka wants the rows without const; nobody writes to them. */
#define ADD_ROWS(table, f)                                                                                             \
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)                                                                 \
                tests[n_tests++] = (struct CMUnitTest) {                                                               \
                        (table)[i].name, f, set_up, tear_down, (void *)(uintptr_t) & (table)[i]                        \
                }

int main(int argc, char **argv) {
        if (argc > 2)
                return say(argv + 1);
        ADD_ROWS(layouts, test_layout);
        ADD_ROWS(strangers, test_stranger);
        ADD_ROWS(rows, test_row);
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                tests[n_tests++] = plain[i];
        return _cmocka_run_group_tests("witness", tests, n_tests, NULL, NULL);
}
