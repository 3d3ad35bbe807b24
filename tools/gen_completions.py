#!/usr/bin/env python3
"""Writes the shell completions from the program's own help: usage: gen_completions.py WISP FOLDER [--check]

Writes FOLDER/wisp.bash, FOLDER/_wisp (zsh) and FOLDER/wisp.fish; with --check writes nothing and exits
1 when a file differs from what it would be."""
import pathlib
import re
import subprocess
import sys

OPTION = re.compile(r"^  (?:(-\w+),)? +(--[\w-]+)(?: ([A-Z]+(?:[:=][A-Z]+)*))?(?: +(\S.*))?$")
HELP_INDENT = " " * 34
COMMANDS = {"transcribe": "audio to text", "demo": "transcribe the bundled clip",
            "model": "list, get and look into models",
            "bench": "how fast each stage runs here",
            "doctor": "what wisp finds on this machine", "dump": "a stage's output as a NumPy file",
            "npu": "tools for programs of the NPU's cores"}
WORDS = {"model": ["list", "pull", "info"], "dump": ["mel", "encoder", "logits"], "npu": ["dis", "as", "check", "run", "bench"]}
MODELS_HERE = "wisp model list 2>/dev/null | awk '$3 == \"here\" { print $1 }'"
MODELS = "wisp model list 2>/dev/null | awk 'NR > 1 && NF && $2 ~ /^[0-9.]+$/ { print $1 }'"


def options_of(wisp, command):
    """[(brief or None, name, value or None, help)] of a command, from its --help."""
    done = subprocess.run([wisp, command, "--help"], check=True, capture_output=True, text=True)
    options = []
    for line in done.stdout.splitlines():
        if match := OPTION.match(line):
            options.append([match[1], match[2], match[3], match[4] or ""])
        elif line.startswith(HELP_INDENT) and options:
            options[-1][3] = f"{options[-1][3]} {line.strip()}".strip()
    return options


def bash(table):
    lines = ["# bash completion for wisp; written by tools/gen_completions.py", "_wisp() {",
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}",
             "    local command=transcribe options words=",
             "    COMPREPLY=()",
             "    if ((COMP_CWORD > 1)); then",
             f"        case ${{COMP_WORDS[1]}} in {'|'.join(COMMANDS)}) command=${{COMP_WORDS[1]}} ;; esac",
             "    else",
             f"        words='{' '.join(COMMANDS)}'",
             "    fi",
             "    case $command in"]
    for command, options in table.items():
        names = " ".join(n for o in options for n in o[:2] if n)
        takes = "|".join(n for o in options for n in o[:2] if n and o[2] and o[2] not in ("FILE", "DIR", "PREFIX"))
        lines += [f"    {command})", f"        options='{names}'"]
        if takes:
            lines.append(f"        case $prev in {takes}) return ;; esac")
        if command in WORDS:
            lines.append(f"        ((COMP_CWORD == 2)) && words='{' '.join(WORDS[command])}'")
        if command == "model":
            lines.append(f"        [[ $prev == pull ]] && words=$({MODELS})")
        lines.append("        ;;")
    lines += ["    esac",
              "    case $prev in",
              f"    -m | --model | info) words=$({MODELS_HERE}) ;;",
              "    --dir) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); return ;;",
              "    esac",
              "    [[ $cur == -* ]] && words=$options",
              "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\"; "
              "[[ $cur == -* ]] || compgen -f -- \"$cur\")",
              "}",
              "complete -o filenames -F _wisp wisp"]
    return "\n".join(lines) + "\n"


def zsh_text(text):
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh(table):
    lines = ["#compdef wisp", "# zsh completion for wisp; written by tools/gen_completions.py", "",
             "_wisp_models() { compadd -- ${(f)\"$(" + MODELS_HERE + ")\"}; _files }",
             "_wisp_published() { compadd -- ${(f)\"$(" + MODELS + ")\"} }", "",
             "_wisp() {",
             "    local command=transcribe",
             "    if ((CURRENT > 2)) && [[ ${words[2]} == (" + "|".join(COMMANDS) + ") ]]; then",
             "        command=${words[2]}",
             "        shift words",
             "        ((CURRENT--))",
             "    elif ((CURRENT == 2)) && [[ ${words[2]} != -* ]]; then",
             "        compadd -- " + " ".join(COMMANDS),
             "    fi",
             "    case $command in"]
    for command, options in table.items():
        lines.append(f"    {command})")
        specs = []
        for brief, name, value, text in options:
            action = {None: "", "FILE": ":file:_files", "PREFIX": ":prefix:_files",
                      "DIR": ":folder:_files -/"}.get(value, f":{(value or '').lower()}: ")
            if name == "--model":
                action = ":model:_wisp_models"
            for flag in filter(None, (brief, name)):
                specs.append(f"'*{flag}[{zsh_text(text)}]{action}'")
        if command == "model":
            specs += ["'1:action:(list pull info)'", "'2:model:_wisp_model_word'"]
        elif command == "dump":
            specs.append("'1:stage:(mel encoder logits)'")
        elif command == "npu":
            specs += [f"'1:action:({' '.join(WORDS['npu'])})'", "'2:file:_files'"]
        elif command == "transcribe":
            specs.append("'*:audio file:_files'")
        lines += ["        _arguments \\"] + [f"            {s} \\" for s in specs[:-1]]
        lines += [f"            {specs[-1]}", "        ;;"]
    lines += ["    esac", "}", "",
              "_wisp_model_word() { [[ ${words[2]} == pull ]] && _wisp_published || _wisp_models }", "",
              "_wisp \"$@\""]
    return "\n".join(lines) + "\n"


def fish_text(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")


def fish(table):
    others = " ".join(c for c in COMMANDS if c != "transcribe")
    lines = ["# fish completion for wisp; written by tools/gen_completions.py"]
    for command, text in COMMANDS.items():
        lines.append(f"complete -c wisp -n __fish_use_subcommand -a {command} -d '{fish_text(text)}'")
    for command, options in table.items():
        condition = (f"'not __fish_seen_subcommand_from {others}'" if command == "transcribe"
                     else f"'__fish_seen_subcommand_from {command}'")
        for brief, name, value, text in options:
            line = f"complete -c wisp -n {condition}"
            if brief:
                line += f" -{'s' if len(brief) == 2 else 'o'} {brief[1:]}"
            line += f" -l {name[2:]}"
            if value:
                line += " -r" if value in ("FILE", "PREFIX", "DIR") else " -x"
            if name == "--model":
                line += f" -a '({fish_text(MODELS_HERE)})'"
            lines.append(f"{line} -d '{fish_text(text)}'")
        for word in WORDS.get(command, []):
            lines.append(f"complete -c wisp -n {condition} -a {word}")
    lines.append("complete -c wisp -n '__fish_seen_subcommand_from pull' -x -a "
                 f"'({fish_text(MODELS)})'")
    return "\n".join(lines) + "\n"


def main():
    wisp, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    table = {command: options_of(wisp, command) for command in COMMANDS}
    stale = 0
    for name, write in (("wisp.bash", bash), ("_wisp", zsh), ("wisp.fish", fish)):
        path, text = folder / name, write(table)
        if sys.argv[3:] != ["--check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path} is not what the program's help says; run tools/gen_completions.py")
            stale = 1
    return stale


sys.exit(main())
