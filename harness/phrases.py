"""The wording of the corpus: intents, items, clauses and turns, in English and Chinese.

A *need* is a noun phrase for one intent, such as `the refund for my jacket`. All needs that name the same item begin
with the same token and end with the same token. So two of them can change places in a message without changing any
word or any pair of neighbouring words, and only the binding between cue and need gives the label.
"""

from __future__ import annotations

from dataclasses import dataclass

INTENTS = ("refund", "exchange", "cancellation", "delivery", "invoice", "repair")


@dataclass(frozen=True)
class Wording:
    """One language: what messages are made of. Clauses hold exactly one `{need}`."""

    language: str
    need: str
    """Pattern of a need with `{core}` and `{item}`."""
    cores: tuple[tuple[str, ...], ...]
    """Paraphrases per intent, in the order of INTENTS."""
    items: tuple[str, ...]
    wanted: tuple[str, ...]
    """Clauses that say what the customer wants in the end."""
    unwanted: tuple[str, ...]
    """Clauses that name a need that is rejected, past, corrected or somebody else's."""
    joints: tuple[str, ...]
    """What stands between two clauses, whatever their order."""
    openings: tuple[str, ...]
    """First turn; says nothing about any need."""
    closings: tuple[str, ...]
    """Last turn; says nothing about any need."""
    gap: str
    """What stands between the turns."""


ENGLISH = Wording(
    language="en",
    need="the {core} my {item}",
    cores=(
        ("refund for", "reimbursement of"),
        ("exchange of", "swap of"),
        ("cancellation of", "withdrawal of"),
        ("delivery of", "shipping of"),
        ("invoice for", "receipt for"),
        ("repair of", "warranty for"),
    ),
    items=("jacket", "phone", "laptop", "kettle", "bicycle", "camera", "headset", "lamp", "tent", "router"),
    wanted=(
        "i would like {need}",
        "what i need today is {need}",
        "please help me with {need}",
        "my question is about {need}",
        "i am writing because of {need}",
        "kindly take care of {need}",
        "let us sort out {need} now",
        "in the end i chose {need}",
    ),
    unwanted=(
        "i do not need {need}",
        "forget about {need}",
        "last week we settled {need}",
        "a colleague asked for {need}",
        "my sister wanted {need}",
        "your agent misheard , noting {need}",
        "never mind {need} again",
        "yesterday i dropped {need}",
    ),
    joints=(" , ", " . ", " ; "),
    openings=(
        "hello .",
        "hi there ,",
        "good morning .",
        "agent : go ahead . customer :",
        "thanks for picking up .",
        "agent : how can i help ? customer : well ,",
    ),
    closings=(
        "",
        ". thank you .",
        ". please write back soon .",
        ". agent : understood .",
        ". agent : one moment . customer : sure .",
    ),
    gap=" ",
)

CHINESE = Wording(
    language="zh",
    need="{item}{core}的事",
    cores=(
        ("退款", "退钱"),
        ("换货", "调换"),
        ("取消", "撤单"),
        ("配送", "快递"),
        ("发票", "收据"),
        ("维修", "保修"),
    ),
    items=("外套", "手机", "电脑", "水壶", "相机", "耳机", "台灯", "帐篷", "键盘", "手表"),
    wanted=(
        "我现在想办{need}",
        "请帮我处理{need}",
        "今天主要咨询{need}",
        "我真正需要{need}",
        "麻烦您看一下{need}",
        "我打电话是为了{need}",
        "最后我选了{need}",
        "希望马上解决{need}",
    ),
    unwanted=(
        "我不需要{need}",
        "不用再管{need}",
        "上周已经办完{need}",
        "同事之前问过{need}",
        "我妹妹才想要{need}",
        "客服记错成了{need}",
        "先别提{need}",
        "昨天我放弃了{need}",
    ),
    joints=("，", "。", "；"),
    openings=("您好。", "早上好。", "客服：请讲。顾客：", "谢谢接听。", "客服：有什么可以帮您？顾客："),
    closings=("", "。谢谢。", "。请尽快回复。", "。客服：明白。", "。客服：请稍等。顾客：好的。"),
    gap="",
)

WORDINGS = (ENGLISH, CHINESE)
