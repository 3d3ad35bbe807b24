#include "json_print.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at `p`, 0 when it is none.  The string is NUL-terminated. */
static size_t utf8_at(const unsigned char *p) {
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool too_big = p[0] == 0xf4 && p[1] > 0x8f;
    return n && !overlong && !surrogate && !too_big ? n : 0;
}

json_t *json_text(const char *bytes) {
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    if (!bytes)
        return json_null();
    char *text = malloc(3 * strlen(bytes) + 1), *end = text;
    if (!text)
        return NULL;
    for (const unsigned char *p = (const unsigned char *)bytes; *p;) {
        size_t n = utf8_at(p);
        memcpy(end, n ? (const char *)p : replacement, n ? n : 3);
        end += n ? n : 3;
        p += n ? n : 1;
    }
    json_t *value = json_stringn(text, (size_t)(end - text));
    free(text);
    return value;
}

json_t *json_number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static void print_real(FILE *f, double x) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    fprintf(f, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static bool is_plain(const json_t *value) {
    return !json_is_object(value) && !json_is_array(value);
}

static bool all_plain(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_plain(json_array_get(list, i)))
            return false;
    return true;
}

static void print(FILE *f, const json_t *value, int indent);

static void print_list(FILE *f, const json_t *list, int indent) {
    bool one_line = all_plain(list);
    size_t n = json_array_size(list);
    fputc('[', f);
    for (size_t i = 0; i < n; i++) {
        if (!one_line)
            fprintf(f, "\n%*s", indent + 2, "");
        print(f, json_array_get(list, i), indent + 2);
        if (i + 1 < n)
            fputs(one_line ? ", " : ",", f);
    }
    if (!one_line)
        fprintf(f, "\n%*s", indent, "");
    fputc(']', f);
}

static void print_object(FILE *f, const json_t *object, int indent) {
    const char *key;
    json_t *value;
    const char *comma = "";
    fputc('{', f);
    json_object_foreach((json_t *)object, key, value) { /* in the order of insertion */
        fprintf(f, "%s\n%*s\"%s\": ", comma, indent + 2, "", key);
        print(f, value, indent + 2);
        comma = ",";
    }
    fprintf(f, "\n%*s}", indent, "");
}

static void print(FILE *f, const json_t *value, int indent) {
    if (json_is_object(value))
        print_object(f, value, indent);
    else if (json_is_array(value))
        print_list(f, value, indent);
    else if (json_is_real(value))
        print_real(f, json_real_value(value));
    else
        json_dumpf(value, f, JSON_ENCODE_ANY);
}

void json_print(FILE *f, const json_t *value) {
    print(f, value, 0);
    fputc('\n', f);
}
