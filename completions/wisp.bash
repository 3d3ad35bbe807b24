# bash completion for wisp; written by tools/gen_completions.py
_wisp() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command=transcribe options words=
    COMPREPLY=()
    if ((COMP_CWORD > 1)); then
        case ${COMP_WORDS[1]} in transcribe|demo|model|bench|doctor|dump|npu) command=${COMP_WORDS[1]} ;; esac
    else
        words='transcribe demo model bench doctor dump npu'
    fi
    case $command in
    transcribe)
        options='-m --model -f --file --raw -ot --offset-t -d --duration -l --language -dl --detect-language -tr --translate --prompt --carry-initial-prompt -t --threads --decoder-weights -bs --beam-size -bo --best-of --patience --length-penalty -tp --temperature -tpi --temperature-inc -nf --no-fallback -et --entropy-thold -lpt --logprob-thold -nth --no-speech-thold -sns --suppress-nst --no-suppress-nst -mc --max-context --seed -nt --no-timestamps -otxt --output-txt -osrt --output-srt -ovtt --output-vtt -otsv --output-tsv -ocsv --output-csv -olrc --output-lrc -oj --output-json -of --output-file -np --no-prints -pp --print-progress --version -h --help'
        case $prev in --raw|-ot|--offset-t|-d|--duration|-l|--language|--prompt|-t|--threads|--decoder-weights|-bs|--beam-size|-bo|--best-of|--patience|--length-penalty|-tp|--temperature|-tpi|--temperature-inc|-et|--entropy-thold|-lpt|--logprob-thold|-nth|--no-speech-thold|-mc|--max-context|--seed) return ;; esac
        ;;
    demo)
        options='-h --help'
        ;;
    model)
        options='--json -v --verbose --url --dir -np --no-prints -h --help'
        case $prev in --url) return ;; esac
        ((COMP_CWORD == 2)) && words='list pull info'
        [[ $prev == pull ]] && words=$(wisp model list 2>/dev/null | awk 'NR > 1 && NF && $2 ~ /^[0-9.]+$/ { print $1 }')
        ;;
    bench)
        options='-m --model --dims --decoder-weights -t --threads --repeats --json -h --help'
        case $prev in --dims|--decoder-weights|-t|--threads|--repeats) return ;; esac
        ;;
    doctor)
        options='-h --help'
        ;;
    dump)
        options='-m --model -f --file --raw --tokens -o --output -t --threads --decoder-weights -h --help'
        case $prev in --raw|--tokens|-t|--threads|--decoder-weights) return ;; esac
        ((COMP_CWORD == 2)) && words='mel encoder logits'
        ;;
    npu)
        options='-o --output --raw --base --plain --proof --elf --check --entry --notes --core --mem --dump --reg --lock --break --max-cycles --core --insts --arg --out --threads --start --state --sim --save --json -d --disassemble --rewrite -h --help'
        case $prev in --base|--entry|--mem|--dump|--reg|--lock|--break|--max-cycles|--arg|--threads|--start) return ;; esac
        ((COMP_CWORD == 2)) && words='dis as check run bench'
        ;;
    esac
    case $prev in
    -m | --model | info) words=$(wisp model list 2>/dev/null | awk '$3 == "here" { print $1 }') ;;
    --dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    esac
    [[ $cur == -* ]] && words=$options
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; [[ $cur == -* ]] || compgen -f -- "$cur")
}
complete -o filenames -F _wisp wisp
