"""Zero-cost scores of networks: one file a score; `contract` says what they have in common."""

from __future__ import annotations

from nas_train.proxies.contract import Proxy as Proxy
from nas_train.proxies.evaluator import ProxyEvaluator as ProxyEvaluator
from nas_train.proxies.scoring import PROXIES as PROXIES
from nas_train.proxies.scoring import find_proxy as find_proxy
from nas_train.proxies.scoring import score_network as score_network
