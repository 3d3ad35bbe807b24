#!/bin/sh
# usage: compile_header.sh COMPILER [FLAG...] -- PATH...: compiles each header, or each .h below a folder, alone.
command=""
while [ "$1" != "--" ]; do
    command="$command $1"
    shift
done
shift
status=0
case "$command" in *c++*) language=c++ ;; *) language=c ;; esac
for header in $(find "$@" -name "*.h" | sort); do
    # shellcheck disable=SC2086 # one word per flag is meant
    $command -x $language -Wall -Wextra -Werror -Wno-pragma-once-outside-header -fsyntax-only \
        -include "$header" /dev/null || {
        echo "does not compile alone: $header"
        status=1
    }
done
exit $status
