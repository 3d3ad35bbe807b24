#!/bin/sh
# usage: compile_header.sh LANGUAGE PATH COMPILER [FLAG...]: compiles a header, or each .h below a folder, alone.
language=$1 path=$2
shift 2
[ -e "$path" ] || exit 1
find "$path" -name "*.h" | sort | {
    status=0
    while read -r header; do
        "$@" -x "$language" -Wall -Wextra -Werror -fsyntax-only -include "$header" /dev/null || {
            echo "does not compile alone: $header"
            status=1
        }
    done
    exit $status
}
