/* SPDX-License-Identifier: Apache-2.0 */
#include "app/output.h"
#include "base/utf8.h"
#include "core/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int output_text(const char *text, size_t len, Err *err) {
        errno = 0;
        if (fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0)
                return 0;
        return err_errno(err, errno ? -errno : -EIO, "cannot write to standard output");
}

/* The cell's text, given to the caller. */
static char *cell_text(const cJSON *row, const char *key) {
        _cleanup_buf_ Buf out = BUF_INIT;
        char *text;

        if (streq(key, "namespace/name")) {
                const char *name = json_string(row, "name");

                if (!streq(str_or_empty(name), "-"))
                        buf_printf(&out, "%s/", str_or_empty(json_string(row, "namespace")));
                buf_str(&out, str_or_empty(name));
        } else {
                const cJSON *item = json_get(row, key);

                if (cJSON_IsString(item))
                        buf_str(&out, item->valuestring);
                else if (item)
                        json_canonical(item, &out);
        }
        text = buf_take(&out, NULL);
        if (text)
                utf8_flatten(text);
        return text;
}

static size_t display_width(const char *s) {
        size_t width = 0;

        /* Continuation bytes take no room of their own. */
        for (; *s; s++)
                width += ((unsigned char)*s & 0xc0) != 0x80;
        return width;
}

static const char *state_colour(const char *cell) {
        static const struct {
                const char *word, *colour;
        } colours[] = {
                { "ok", "32" },       { "Running", "32" },    { "Written", "32" },    { "true", "32" },
                { "waiting", "33" },  { "Waiting", "33" },    { "Held", "33" },       { "Starting", "33" },
                { "refused", "31" },  { "Refused", "31" },    { "invalid", "31" },    { "Invalid", "31" },
                { "Conflict", "31" }, { "unreadable", "31" }, { "NotStarted", "31" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(colours); i++)
                if (streq(cell, colours[i].word))
                        return colours[i].colour;
        return NULL;
}

static bool use_colour(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && !(no_color && *no_color) && !streq(term, "dumb");
}

typedef struct Grid {
        char **cells;
        size_t n_rows, n_columns;
} Grid;

static void grid_done(Grid *g) {
        for (size_t i = 0; g->cells && i < g->n_rows * g->n_columns; i++)
                free(g->cells[i]);
        free(g->cells);
}

static int grid_fill(const cJSON *rows, const Column **shown, size_t n_shown, Grid *ret) {
        size_t i = 0;

        ret->n_columns = n_shown;
        ret->n_rows = (size_t)cJSON_GetArraySize(rows);
        ret->cells = calloc(ret->n_rows * n_shown + 1, sizeof(*ret->cells));
        if (!ret->cells)
                return -ENOMEM;
        for (const cJSON *row = rows->child; row; row = row->next)
                for (size_t c = 0; c < n_shown; c++) {
                        ret->cells[i] = cell_text(row, shown[c]->key);
                        if (!ret->cells[i++])
                                return -ENOMEM;
                }
        return 0;
}

static void write_cell(Buf *out, const char *cell, size_t width, bool last, bool colour) {
        const char *code = colour ? state_colour(cell) : NULL;

        if (code)
                buf_printf(out, "\033[%sm%s\033[0m", code, cell);
        else
                buf_str(out, cell);
        if (last)
                return;
        for (size_t i = display_width(cell); i < width + 2; i++)
                buf_char(out, ' ');
}

static void write_table(const Grid *grid, const Column **shown, Buf *out) {
        bool colour = use_colour();
        size_t widths[16] = { 0 };

        for (size_t c = 0; c < grid->n_columns; c++) {
                widths[c] = strlen(shown[c]->header);
                for (size_t r = 0; r < grid->n_rows; r++) {
                        const char *cell = grid->cells[r * grid->n_columns + c];
                        size_t width = *cell ? display_width(cell) : strlen("<none>");

                        if (width > widths[c])
                                widths[c] = width;
                }
        }
        for (size_t c = 0; c < grid->n_columns; c++)
                write_cell(out, shown[c]->header, widths[c], c + 1 == grid->n_columns, false);
        buf_char(out, '\n');
        for (size_t r = 0; r < grid->n_rows; r++) {
                for (size_t c = 0; c < grid->n_columns; c++) {
                        const char *cell = grid->cells[r * grid->n_columns + c];

                        write_cell(out, *cell ? cell : "<none>", widths[c], c + 1 == grid->n_columns, colour);
                }
                buf_char(out, '\n');
        }
}

static void write_tsv(const Grid *grid, Buf *out) {
        for (size_t r = 0; r < grid->n_rows; r++)
                for (size_t c = 0; c < grid->n_columns; c++) {
                        buf_str(out, grid->cells[r * grid->n_columns + c]);
                        buf_char(out, c + 1 < grid->n_columns ? '\t' : '\n');
                }
}

static int write_grid(const cJSON *rows, const Column *columns, size_t n_columns, Format format, Buf *out) {
        static const Column name_column = { "NAME", "namespace/name", FORMAT_BIT(FORMAT_NAME) };
        const Column *shown[16];
        size_t n_shown = 0;
        _cleanup_(grid_done) Grid grid = { 0 };
        int r;

        if (format == FORMAT_NAME)
                shown[n_shown++] = &name_column;
        for (size_t i = 0; i < n_columns && n_shown < ARRAY_SIZE(shown); i++)
                if (columns[i].formats & FORMAT_BIT(format))
                        shown[n_shown++] = &columns[i];
        r = grid_fill(rows, shown, n_shown, &grid);
        if (r < 0)
                return r;
        if (format == FORMAT_TABLE || format == FORMAT_WIDE)
                write_table(&grid, shown, out);
        else
                write_tsv(&grid, out);
        return 0;
}

int output_rows(const cJSON *rows, const Column *columns, size_t n_columns, Format format, Err *err) {
        _cleanup_buf_ Buf out = BUF_INIT;
        int r = 0;

        switch (format) {
        case FORMAT_JSON:
                json_canonical(rows, &out);
                buf_char(&out, '\n');
                break;
        case FORMAT_YAML:
                r = yaml_write(rows, &out);
                break;
        default:
                r = write_grid(rows, columns, n_columns, format, &out);
        }
        if (r < 0 || out.failed)
                return err_oom(err);
        return output_text(buf_text(&out), out.len, err);
}
