/* SPDX-License-Identifier: Apache-2.0 */
/* Where a text is no YAML, and what to say about it: libyaml's words, or better ones where the usual mistake is known.
 */
#include "base/utf8.h"
#include "core/yaml_internal.h"

#include <errno.h>

/* ---- lines, counted as libyaml counts them ---- */

typedef struct Line {
        const char *start;
        size_t len;
        unsigned number; /* from 1 */
} Line;

/* Length of the line break at s; 0 if there is none. */
static size_t line_break(const char *s, size_t n) {
        if (s[0] == '\n')
                return 1;
        if (s[0] == '\r')
                return n > 1 && s[1] == '\n' ? 2 : 1;
        if (n > 1 && memcmp(s, "\xc2\x85", 2) == 0)
                return 2;
        return n > 2 && memcmp(s, "\xe2\x80", 2) == 0 && ((unsigned char)s[2] & 0xfe) == 0xa8 ? 3 : 0;
}

static Line line_from(const char *start, const char *end, unsigned number) {
        const char *p = start;

        while (p < end && line_break(p, (size_t)(end - p)) == 0)
                p++;
        return (Line){ .start = start, .len = (size_t)(p - start), .number = number };
}

/* Goes to the next line; false behind the last one. */
static bool line_next(Line *line, const char *end) {
        const char *p = line->start + line->len;

        if (p == end)
                return false;
        *line = line_from(p + line_break(p, (size_t)(end - p)), end, line->number + 1);
        return true;
}

static Place place_of(const char *text, size_t len, size_t offset) {
        Place place = { 1, 1 };

        for (size_t i = 0; i < offset;) {
                size_t n = line_break(text + i, len - i);

                if (n > 0)
                        place = (Place){ place.line + 1, 1 };
                else
                        place.column += ((unsigned char)text[i] & 0xc0) != 0x80;
                i += n > 0 ? n : 1;
        }
        return place;
}

/* ---- characters ---- */

/* A well-formed character beyond ASCII that YAML does not allow: C1 controls but NEL, a BOM in the middle, and the two
 * that are none. */
static bool is_forbidden(const char *s, size_t n) {
        if (n == 2)
                return (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0 && (unsigned char)s[1] != 0x85;
        return n == 3 && (memcmp(s, "\xef\xbf\xbe", 3) == 0 || memcmp(s, "\xef\xbf\xbf", 3) == 0);
}

/* Counts lines that start with a percent sign: libyaml looks through all directives for each new one. (Kubernetes reads
 * no text with directives at all.) */
static bool has_many_directives(const char *text, size_t len) {
        enum { MANY = 100 };
        size_t n = len > 0 && text[0] == '%';

        for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))) && ++p < text + len;)
                n += *p == '%';
        return n > MANY;
}

int yaml_check_text(const char *text, size_t len, unsigned first_line, Place *ret_place, Err *err) {
        size_t i = 0;
        unsigned char c;

        while (i < len) {
                size_t n;

                c = (unsigned char)text[i];
                if (c >= 0x20 && c < 0x7f) {
                        i++;
                        continue;
                }
                if (c < 0x80 && c != '\t' && c != '\n' && c != '\r')
                        break;
                n = utf8_char(text + i, len - i);
                if (n == 0 || is_forbidden(text + i, n))
                        break;
                i += n;
        }
        if (i == len && !has_many_directives(text, len))
                return 0;
        if (i == len)
                return err_set(err, -EBADMSG, "too many lines start with %%");
        *ret_place = place_of(text, len, i);
        ret_place->line += first_line - 1;
        c = (unsigned char)text[i];
        if (c == 0)
                return err_set(err, -EBADMSG, "a NUL byte: this is no text in UTF-8");
        if (c < 0x80)
                return err_set(err, -EBADMSG, "control character 0x%02x", c);
        if (utf8_char(text + i, len - i) == 0)
                return err_set(err, -EBADMSG, "not UTF-8 (byte 0x%02x)", c);
        return err_set(err, -EBADMSG, "a character that YAML does not allow (bytes 0x%02x 0x%02x ...)", c,
                       (unsigned char)text[i + 1]);
}

/* ---- what libyaml's errors mean ---- */

typedef struct Explanation {
        const char *problem; /* libyaml's words */
        const char *message;
        const char *construct; /* what starts at the context's place, to be told as well; NULL: not helpful */
        bool at_start;         /* the place to show is the construct's */
} Explanation;

static const Explanation explanations[] = {
        { "mapping values are not allowed in this context",
          "a ':' with a space behind it is not allowed here: quote the text, or check the indentation", NULL, false },
        { "could not find expected ':'", "a ':' is missing behind this text, or a line is indented wrongly", NULL,
          true },
        { "found character that cannot start any token", "a text cannot start with this character: quote it", NULL,
          false },
        { "found unexpected end of stream", "the end of the text, but a quotation is still open", "it starts", false },
        { "found unexpected document indicator", "the end of the document, but a quotation is still open", "it starts",
          false },
        { "did not find expected ',' or ']'", "a ',' or ']' is missing", "the list starts", false },
        { "did not find expected ',' or '}'", "a ',' or '}' is missing", "the mapping starts", false },
        { "did not find expected key", "a key is expected here: check the indentation and the quotation marks",
          "the mapping starts", false },
        { "did not find expected '-' indicator", "a list item ('- ') is expected here: check the indentation",
          "the list starts", false },
        { "did not find expected node content", "a value is expected here", NULL, false },
        { "did not find expected <document start>",
          "the document ends above: check the indentation, or put --- between two documents", NULL, false },
        { "did not find expected alphabetic or numeric character", "a text cannot start with '*' or '&': quote it",
          NULL, true },
        { "block sequence entries are not allowed in this context",
          "a list item ('- ') is not allowed here: check the indentation, or quote the text", NULL, false },
        { "mapping keys are not allowed in this context", "a key is not allowed here: check the indentation", NULL,
          false },
        { "found unknown escape character",
          "an unknown escape in a text in double quotes: double the \\, or use single quotes", NULL, false },
};

static size_t indentation(const Line *line) {
        size_t n = 0;

        while (n < line->len && (line->start[n] == ' ' || line->start[n] == '\t'))
                n++;
        return n;
}

/* A tab in the indentation of the line with the problem, or at the problem itself. */
static bool find_tab(const yaml_parser_t *parser, const Line *line, Place *ret) {
        const char *tab = memchr(line->start, '\t', indentation(line));
        size_t offset = 0;

        if (tab && indentation(line) < line->len) {
                *ret = (Place){ line->number, (unsigned)(tab - line->start) + 1 };
                return true;
        }
        /* Columns count characters. */
        for (size_t column = 0; offset < line->len && column < parser->problem_mark.column; column++)
                do
                        offset++;
                while (offset < line->len && ((unsigned char)line->start[offset] & 0xc0) == 0x80);
        if (offset == line->len || line->start[offset] != '\t' || parser->error != YAML_SCANNER_ERROR)
                return false;
        *ret = (Place){ line->number, (unsigned)parser->problem_mark.column + 1 };
        return true;
}

/* Goes to the line with the problem. If it starts with two slashes, or the line above it does (libyaml takes that for
 * the beginning of a longer text), *ret_slashes is where the first of several such lines is; else 0:0. Slashes further
 * to the right than the problem's line are in a block of text, unless libyaml says that the problem begins there. */
static Line find_line(const yaml_parser_t *parser, const char *text, size_t len, Place *ret_slashes) {
        Line line = line_from(text, text + len, 1);
        Place slashes = { 0 };
        bool anything = false; /* stands above them */

        for (;;) {
                size_t indent = indentation(&line);
                bool found = line.len >= indent + 2 && memcmp(line.start + indent, "//", 2) == 0;

                if (found && slashes.line == 0)
                        slashes = (Place){ line.number, (unsigned)indent + 1 };
                if (line.number > parser->problem_mark.line) {
                        bool begins_there = parser->context && parser->context_mark.line + 1 >= slashes.line;

                        if (found || begins_there || !anything || slashes.column <= indent + 1)
                                *ret_slashes = slashes;
                        return line;
                }
                if (!found && indent < line.len) {
                        slashes = (Place){ 0 };
                        anything |= line.start[indent] != '#';
                }
                if (!line_next(&line, text + len))
                        return line;
        }
}

static int explain_problem(const yaml_parser_t *parser, unsigned first_line, Place *ret_place, Err *err) {
        const char *problem = parser->problem ? parser->problem : "this is no YAML";
        Place start = yaml_place(&parser->context_mark, first_line);

        for (size_t i = 0; i < ARRAY_SIZE(explanations); i++) {
                const Explanation *e = &explanations[i];

                if (!streq(problem, e->problem))
                        continue;
                if (e->at_start && parser->context)
                        *ret_place = start;
                if (!e->construct || !parser->context)
                        return err_set(err, -EBADMSG, "%s", e->message);
                return err_set(err, -EBADMSG, "%s (%s at line %u, column %u)", e->message, e->construct, start.line,
                               start.column);
        }
        if (!parser->context)
                return err_set(err, -EBADMSG, "%s", problem);
        return err_set(err, -EBADMSG, "%s %s", problem, parser->context);
}

int yaml_explain(const yaml_parser_t *parser, const char *text, size_t len, unsigned first_line, Place *ret_place,
                 Err *err) {
        Place tab = { 0 }, slashes = { 0 }, end;
        Line line;

        if (parser->error == YAML_MEMORY_ERROR)
                return err_oom(err);
        *ret_place = yaml_place(&parser->problem_mark, first_line);
        /* libyaml ends a text that lacks it with a line break, and finds the end on a line that nobody sees. */
        end = place_of(text, len, len);
        if (ret_place->line > end.line + first_line - 1)
                *ret_place = (Place){ end.line + first_line - 1, end.column };
        line = find_line(parser, text, len, &slashes);
        if (find_tab(parser, &line, &tab)) {
                *ret_place = (Place){ tab.line + first_line - 1, tab.column };
                return err_set(err, -EBADMSG, "tab used for indentation; YAML allows only spaces");
        }
        if (slashes.line > 0) {
                *ret_place = (Place){ slashes.line + first_line - 1, slashes.column };
                return err_set(err, -EBADMSG, "comments in YAML start with #, not with //");
        }
        return explain_problem(parser, first_line, ret_place, err);
}
