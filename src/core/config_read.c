/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a file to the keys, through inih.
 *
 * inih takes lines of a fixed length (199 bytes where it is built with its defaults), silently goes on with the rest of
 * a longer one as if it were another line, and tells neither the handler nor us where it is. So it gets its lines from
 * here, one logical line at a time: without comments and outer white space, and a long value in pieces, each as the
 * continuation line that inih joins to the key before (its multi-line values). Continuation lines of the user's own do
 * not exist: an indented line is a line like any other. */
#include <errno.h>

#include <ini.h>

#include "core/config_internal.h"

typedef struct Reader {
        Config *config;
        const char *file;
        const char *pos, *end;
        unsigned line;
        const char *rest; /* of the present line, not handed over yet */
        size_t rest_len;
        bool continues; /* the piece handed over last continues a value */
        bool awaiting;  /* a piece was handed over that inih must answer with a call of the handler */
        Buf value;
        int error; /* negative: stop */
        Err *err;
} Reader;

static int fail(Reader *r, int code) {
        r->error = code;
        if (code == -ENOMEM)
                return err_oom(r->err);
        return err_wrap(r->err, code, "%s:%u", r->file, r->line);
}

/* ---- names ---- */

typedef struct Names {
        const char *names[64];
        size_t n;
} Names;

static const char *name_at(const void *names, size_t i) {
        return ((const Names *)names)->names[i];
}

/* The keys of a section, or of all. */
static const char *nearest_key(const char *section, const char *key) {
        Names names = { 0 };

        for (size_t i = 0; i < config_n_items && names.n < ARRAY_SIZE(names.names); i++)
                if (!section || streq(config_items[i].section, section))
                        names.names[names.n++] = config_items[i].key;
        return nearest_name(key, names.n, name_at, &names);
}

static const ConfigItem *find_item(const char *section, const char *key) {
        for (size_t i = 0; i < config_n_items; i++)
                if ((!section || streq(config_items[i].section, section)) && streq(config_items[i].key, key))
                        return &config_items[i];
        return NULL;
}

static int unknown_key(Reader *r, const char *section, const char *key) {
        const ConfigItem *elsewhere = find_item(NULL, key);
        const char *near = nearest_key(section, key);

        if (elsewhere)
                return err_set(r->err, -EINVAL, "key \"%s\" belongs in section [%s], not in [%s]", key,
                               elsewhere->section, section);
        if (near)
                return err_set(r->err, -EINVAL, "unknown key \"%s\" in [%s]; did you mean \"%s\"?", key, section, near);
        near = nearest_key(NULL, key);
        if (near)
                return err_set(r->err, -EINVAL, "unknown key \"%s\" in [%s]; did you mean \"%s\" in [%s]?", key,
                               section, near, find_item(NULL, near)->section);
        return err_set(r->err, -EINVAL, "unknown key \"%s\" in [%s]", key, section);
}

/* inih does not report sections, so that an unknown one without keys would pass. */
static int check_section(Reader *r, const char *line, size_t len) {
        const char *close = memchr(line, ']', len);
        _cleanup_free_ char *name = NULL;
        Names names = { 0 };
        const char *near;

        if (!close)
                return err_set(r->err, -EINVAL, "a section without \"]\"");
        if (close != line + len - 1)
                return err_set(r->err, -EINVAL, "something stands behind the section's \"]\"");
        name = strndup(line + 1, len - 2);
        if (!name)
                return -ENOMEM;
        for (size_t i = 0; i < config_n_sections; i++) {
                if (streq(config_sections[i].name, name))
                        return 0;
                names.names[names.n++] = config_sections[i].name;
        }
        near = nearest_name(name, names.n, name_at, &names);
        if (near)
                return err_set(r->err, -EINVAL, "unknown section [%s]; did you mean [%s]?", name, near);
        return err_set(r->err, -EINVAL, "unknown section [%s]", name);
}

/* ---- lines ---- */

static bool is_space(char c) {
        return c == ' ' || c == '\t';
}

static bool is_comment(char c) {
        return c == '#' || c == ';';
}

/* Cuts comments and outer white space off. False where a character stands that is none of a text's. */
static bool tidy(const char **line, size_t *len) {
        for (size_t i = 0; i < *len; i++) {
                unsigned char c = (unsigned char)(*line)[i];

                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return false;
        }
        while (*len > 0 && is_space(**line)) {
                (*line)++;
                (*len)--;
        }
        for (size_t i = 0; i < *len; i++)
                if (is_comment((*line)[i]) && (i == 0 || is_space((*line)[i - 1])))
                        *len = i;
        while (*len > 0 && is_space((*line)[*len - 1]))
                (*len)--;
        return true;
}

/* The next line into rest; false at the end of the text, or after an error. */
static bool next_line(Reader *r) {
        const char *end;
        int code;

        if (r->pos == r->end)
                return false;
        end = memchr(r->pos, '\n', (size_t)(r->end - r->pos));
        r->rest = r->pos;
        r->rest_len = (size_t)((end ? end : r->end) - r->pos);
        r->pos = end ? end + 1 : r->end;
        r->line++;
        if (r->rest_len > 0 && r->rest[r->rest_len - 1] == '\r')
                r->rest_len--;
        if (!tidy(&r->rest, &r->rest_len)) {
                (void)fail(r, err_set(r->err, -EINVAL, "a control character"));
                return false;
        }
        if (r->rest_len == 0 || *r->rest != '[')
                return true;
        code = check_section(r, r->rest, r->rest_len);
        if (code < 0)
                (void)fail(r, code);
        return code == 0;
}

/* How much of the rest goes into room bytes. A piece must not begin or end with what inih would cut off, and not begin
 * with what it would take for a comment; the first one must hold the key and a part of the value. 0: there is no such
 * place. */
static size_t piece_len(const Reader *r, size_t room) {
        size_t from = 0;

        if (r->rest_len <= room)
                return r->rest_len;
        while (!r->continues && from < room && r->rest[from] != '=' && r->rest[from] != ':')
                from++;
        for (size_t n = room; n > from + 1; n--)
                if (!is_space(r->rest[n - 1]) && !is_space(r->rest[n]) && !is_comment(r->rest[n]))
                        return n;
        return 0;
}

/* inih's fgets. */
static char *read_piece(char *to, int size, void *user) {
        Reader *r = user;
        size_t n, at = 0;

        if (r->error == 0 && r->awaiting)
                (void)fail(r, err_set(r->err, -EINVAL, "neither \"key = value\" nor [section]"));
        if (r->error < 0)
                return NULL;
        r->continues = r->rest_len > 0;
        if (!r->continues && !next_line(r))
                return NULL;
        if (r->continues)
                to[at++] = ' ';
        n = piece_len(r, size > 3 ? (size_t)size - 3 : 0);
        if (n == 0 && r->rest_len > 0) {
                (void)fail(r, err_set(r->err, -EINVAL, "the line is too long"));
                return NULL;
        }
        r->awaiting = n > 0 && (r->continues || *r->rest != '[');
        memcpy(to + at, r->rest, n);
        memcpy(to + at + n, "\n", 2);
        r->rest += n;
        r->rest_len -= n;
        return to;
}

static int set_key(Reader *r, const char *section, const char *key, const char *value) {
        const ConfigItem *item = find_item(section, key);
        int code;

        if (!*section)
                return err_set(r->err, -EINVAL, "key \"%s\" stands before the first [section]", key);
        if (!item)
                return unknown_key(r, section, key);
        code = config_set(r->config, item, *value ? value : item->fallback, r->err);
        return code == -EINVAL ? err_wrap(r->err, code, "[%s] %s", section, key) : code;
}

static int on_value(void *user, const char *section, const char *key, const char *value) {
        Reader *r = user;
        int code;

        r->awaiting = false;
        if (!r->continues)
                buf_reset(&r->value);
        buf_str(&r->value, value);
        if (r->value.failed)
                code = -ENOMEM;
        else if (r->rest_len > 0)
                return 1;
        else
                code = set_key(r, section, key, buf_text(&r->value));
        if (code < 0)
                (void)fail(r, code);
        return code == 0;
}

int config_read(Config *c, const char *file, const char *text, size_t len, Err *err) {
        Err own = { 0 };
        Reader r = { .config = c, .file = file, .pos = text, .end = text + len, .err = err ? err : &own };
        int code;

        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
                r.pos += 3;
        code = ini_parse_stream(read_piece, &r, on_value, &r);
        buf_done(&r.value);
        if (r.error < 0)
                return r.error;
        if (code < 0)
                return err_oom(r.err);
        return code > 0 ? err_set(r.err, -EINVAL, "%s: line %d cannot be read", file, code) : 0;
}
