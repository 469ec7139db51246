"""What servers say of the tokens of a prompt, with a tiny model behind them."""

import torch
from loopback_server import Answer, error
from transformers import AutoModelForCausalLM


class TokenModel:
    """What a server would answer with the tiny model behind it."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder)

    def places(self, ids, k):
        """Yield each token from the second on, its log-probability and those of the k most probable."""
        with torch.no_grad():
            rows = torch.log_softmax(self.model(input_ids=torch.tensor([ids])).logits[0].float(), 1)
        for row, own in zip(rows, ids[1:], strict=False):
            values, tokens = row.topk(k)
            yield own, float(row[own]), dict(zip(tokens.tolist(), values.tolist(), strict=True))

    def vllm(self, body, number):
        """Answer as vLLM does: the token that stands there is listed whether it is probable or not."""
        if "prompt_logprobs" not in body:
            return Answer(400, error("what is echo?"))
        places = self.places(body["prompt"], body["prompt_logprobs"])
        rows = [
            {
                str(token): {"logprob": value, "rank": 1, "decoded_token": "?"}
                for token, value in {own: mine, **most}.items()
            }
            for own, mine, most in places
        ]
        return Answer(body={"choices": [{"index": 0, "text": "x", "prompt_logprobs": [None, *rows]}],
                            "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}})  # fmt: skip

    def echo(self, body, number):
        """Answer as servers do that know no `prompt_logprobs` and ignore it, but can echo."""
        choice = {"index": 0, "text": "x"}
        if body.get("echo"):
            ids = body["prompt"]
            places = list(self.places(ids, body["logprobs"]))
            choice["logprobs"] = {
                "tokens": [f"token_id:{token}" for token in [*ids, 5]],
                "token_logprobs": [None, *(mine for _, mine, _ in places), -1.0],
                "top_logprobs": [None, *({f"token_id:{t}": v for t, v in most.items()} for _, _, most in places), {}],
            }
        return Answer(body={"choices": [choice]})
