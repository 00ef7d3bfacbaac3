"""How customers put what is not about a topic. The patterns are for text that `words.fold` has folded."""

from __future__ import annotations

import re

from parley_llm_gateway.offline.vocabulary import listed

_PEOPLE = (
    r"(?:human(?: being)?(?: agent| operator)?|(?:real |live |actual |living )?(?:person|people|agent|operator|advisor|"
    r"adviser|representative|rep|assistant)|supervisor|manager|boss|staff|colleague|employee|team member|"
    r"(?:customer|client) (?:service|support|care|assistance)(?: (?:agent|team|representative|rep|person))?|"
    r"support (?:agent|team|person|staff)|support(?=\W*$)|callcenter|specialist|expert)"
)
_ANYONE = rf"(?:{_PEOPLE}|someone|somebody|anyone|anybody|one of you)"
_WHICH = r"(?:an?|the|your|one of your|some|any)?\s*(?:\w+\s+)?"
_TALK = r"(?:speak|speaking|talk|talking|chat|chatting|contact|contacting)(?: directly| please)?(?: to| with)?"
_ROUTE = (
    r"(?:connect|connecting|transfer|transferring|forward|pass|put|hand|refer|switch|escalate|direct)"
    r"(?: me| us| this| it)(?: over| through| on| directly)?(?: to| with)?|connect (?:to|with)|"
    r"escalate (?:this|it)? ?to"
)
_GET = (
    r"(?:get|give|need|want|find|bring|reach|contact|contacting|see)"
    r"(?: me| us| in| touch| hold| of| with| through| to)*"
)
PERSON = re.compile(rf"\b(?:(?:{_TALK}|{_ROUTE})\s+{_WHICH}{_ANYONE}|{_GET}\s+{_WHICH}{_PEOPLE})\b")
SHORT_PERSON = re.compile(
    rf"\W*(?:is (?:there )?|are (?:there )?(?:any )?|please |an? |the |real |live )*{_PEOPLE}"
    r"(?: there| here| available| please| now| needed| required)*\W*"
    r"|\W*(?:please )?(?:call|phone|ring|contact) me(?: back)?(?: please| now)*\W*|\W*(?:call ?back|escalate)\W*"
)
CALL_ME = re.compile(
    r"\b(?:can|could|will) (?:someone|somebody|anyone|you) (?:please )?(?:call|phone|ring|contact) me\b"
)
NOT_A_MACHINE = re.compile(
    r"\b(?:not|dont want|no more|stop|tired of|hate|stupid|useless|sick of)\b[^.!?]{0,25}"
    r"\b(?:bot|robot|machine|chatbot|computer|automat\w+|ai)\b"
)
NO_PERSON = re.compile(
    r"\b(?:(?:dont|do not) (?:want|need|wish|like|wanna|have)|no need to|without|rather not|instead of|"
    r"not (?:an?|with|to))\b"
    rf"[^.!?,;]{{0,30}}{_ANYONE}\b"
)
# Wishes to learn about the service desk are questions, not wishes to be put through.
ABOUT_CONTACT = re.compile(
    r"\b(?:when|hours?|opening|open|until|number|phone|telephone|email|address|toll)\b"
    r"|^\W*(?:do|should|must) i\b"
)
COMPLAINT = re.compile(
    r"\b(?:mak(?:e|ing)|fil(?:e|ing)|lodg(?:e|ing)|submit(?:ting)?|raise|register|place|send|put in|write|formal|"
    r"official)\b[^.!?]{0,25}"
    r"\b(?:complaints?|reclamations?|grievance|claims? against)\b"
    r"|\bcomplain(?:ing)? (?:about|against|to)\b|\b(?:complaint|reclamation|claim) against\b"
    r"|\b(?:want|like|wish) to complain\b|^\W*(?:i have )?(?:a )?complaints?\W*$"
)
_BAD = (
    r"(?:furious|outrageous|unacceptable|inacceptable|disgusting|disgraceful|appalling|ridiculous|pathetic|scandalous|"
    r"useless|incompetent|hopeless|a joke|a scandal|a disgrace|shameful)"
)
ANGER = re.compile(
    rf"\b(?:is|are|am|was|its|thats|youre|im|how|so|totally|absolutely|simply|just) (?:so |just |really |all )?{_BAD}\b"
    rf"|^\W*{_BAD}\W*$|\b{_BAD} (?:\w+ )?(?:service|company|support|experience|staff)\b"
    r"|\b(?:worst|terrible|horrible|awful|poor|bad|shit|crap|lousy) (?:\w+ )?(?:service|company|support|experience)\b"
    r"|\b(?:fed up|sick and tired|sick of (?:this|you|your|it)|had enough(?= of|\W*$)|rip[\s-]?off|liars?|idiots|"
    r"waste of (?:my )?time|wasting my time|(?:third|fourth|fifth) time i|"
    r"for the (?:third|fourth|fifth|tenth|hundredth) time|"
    r"(?:no one|nobody) (?:is )?(?:answer|help|respond|car)\w*|fuck (?:you|off|this)|wtf|bullshit)\b"
)
LEGAL = re.compile(
    r"\b(?:my lawyer|solicitor|attorney|(?:will|to|ill) sue|suing (?:you|them)|legal action|take you to court|"
    r"in court|ombudsman|regulator|"
    r"trading standards|consumer protection|report you|journalist|lawsuit)\b"
)
DANGER = re.compile(
    r"\b(?:on fire|caught fire|smok(?:e|ing)|burn(?:t|ing|ed|s)|sparks?|sparking|electric shock|electrocuted|"
    r"explo(?:de|ded|ding|sion)|injur(?:y|ed)|emergency|ambulance|suicid\w*|kill myself|dangerous|"
    r"swollen|overheat\w*|melt(?:ed|ing))\b"
)
THEFT = re.compile(
    r"\b(?:fraud\w*|scam\w*|stolen|stole|hacked|unauthori[sz]ed|"
    r"(?:someone|somebody) (?:else )?(?:used?|uses|is using))\b"
)
URGENT = re.compile(r"\b(?:urgent\w*|asap|immediately|right now|at once)\b")

GREETING = re.compile(
    r"\b(?:hi+|hey+|hello+|hallo|hiya|howdy|greetings|good ?(?:morning|afternoon|evening|day|night)|yo|bonjour|hola|"
    r"guten (?:tag|morgen|abend)|salut|how are you(?: doing)?(?: today)?\W*|how do you do\W*|"
    r"(?:is )?any(?:one|body) there\W*|are you there\W*|nice to meet you)(?!\w)"
)
THANKS = re.compile(
    r"\b(?:thanks?|thank ?(?:you|u)|thx|ty|tysm|thanx|thankyou|cheers|much appreciated|"
    r"appreciate (?:it|that|your help)|appreciated|merci|danke|gracias|great (?:job|service|help)|"
    r"good (?:job|service|work)|well done|(?:you are|youre) (?:the best|amazing|great|very helpful|helpful|awesome)|"
    r"awesome|(?:very|so) helpful|(?:thanks?|thank you) (?:so|very) much|that helps|that helped|"
    r"(?:all|its) (?:good|solved|fixed)|"
    r"thats (?:all|it|everything)(?: for now| i needed)?|nothing else|no more questions?)\b"
)
BYE = re.compile(
    r"\b(?:bye+|goodbye|good ?bye|see (?:you|ya)|take care|farewell|ciao|"
    r"have a (?:nice|good|great|lovely) (?:day|evening|one|weekend|night))\b"
)
_MACHINE = r"(?:bot|robot|human|person|machine|ai|computer|chatbot|automated)"
_TALKING = r"(?:talking|speaking|chatting) (?:to|with)"
WHO = re.compile(
    rf"\b(?:are you|is this|am i {_TALKING}) (?:an? |the )?(?:real |actual |live )?{_MACHINE}\b"
    rf"|\bwho (?:are you|is this)\W*$|\bwho am i {_TALKING}\b|\bwhat are you\W*$|\bwhat(?:s| is) your name\b"
)
NAMELIKE = listed("sam alex casey taylor jesse spencer rory jamie charlie drew team friend everyone guys mate bro")

# "Where is my order?" says whose it is about; "where?" and "why was that?" don't.
FOLLOWS = re.compile(
    r"^\W*(?:(?:and|but|so|also|then|or|what about|how about|ok and|okay and|yes and|what if|how so|"
    r"which one|really)\b|(?:why|when|where)\b(?![^.?!]*\b(?:my|our)\b))"
)
POINTS_BACK = re.compile(
    r"\b(?:it|its|that|thats|this|these|those|they|them|one|ones|there|same|first|second|latter|former)\b"
)
ASKS_AGAIN = re.compile(
    r"^\W*(?:(?:sorry|pardon|what|huh|eh)(?:\W+(?:what|sorry|pardon|huh))*|come again|"
    r"say (?:that |it )?again|repeat(?: that| please)*|meaning|what was that|"
    r"(?:can|could) you (?:please )?(?:repeat|say) (?:that|it)(?: again)?(?: please)?|"
    r"i (?:dont|do not|didnt) (?:understand|get it|get that|follow)(?: that| you| this)?|"
    r"(?:what|which(?: one| ones| order| payment)?) (?:do|did) you (?:mean|refer to|say)(?: by that)?)\W*$"
)
_ASKS = r"\b(?:what|which|anything|everything|remind|repeat|remember|recall|list)\b"
PROMISES = re.compile(
    rf"{_ASKS}[^.?!]{{0,40}}\b(?:you|i|we)\b[^.?!]{{0,20}}\bpromised?\b"
    rf"|{_ASKS}[^.?!]{{0,20}}\bpromises\b[^.?!]{{0,20}}\byou\b"
    r"|\bwhat\b[^.?!]{0,20}\byou (?:say|said|tell me|told me) (?:that )?(?:you (?:would|will)|youd|youll)\b"
    r"|\bwhat\b[^.?!]{0,20}\byou agreed? to\b"
)
POLICY = re.compile(r"\b(?:polic(?:y|ies)|terms|conditions|guarantee)\b")
GENERAL = re.compile(
    r"\b(?:polic(?:y|ies)|terms|conditions|guarantee|how (?:do|can|could|would|should|to|does|might)|"
    r"is it possible|is there|are there|do you|does your|can (?:i|one|we|customers?)|could (?:i|we)|may i|am i able|"
    r"what (?:are|kind|sort|types?|happens|do i|should i|must i|payment|options)|which|"
    r"what(?:s| is) (?:the|your|an?) (?:\w+ ){0,2}(?:policy|fee|limit|difference|cost|price|process|time|period)|"
    r"where (?:can|do|could|should) (?:i|we)|tell me about|explain|what does|how come|"
    r"why (?:do|does|is it that) (?:you|i have to|one)|when (?:do|does|are) (?:you|your)|"
    r"how (?:many|long|fast|often|old|far)|price (?:do|does|is|are) (?:a|an|the|it)|"
    r"is [^.?!]{1,40} (?:available|possible|allowed|offered)|"
    r"when (?:do|must|should) (?:i|we) (?:have|need) |when (?:do|does) (?:\w+ ){1,3}take|"
    r"who (?:pays|has to|must|can)|usually|normally|in general|procedure|what (?:do|would) (?:i|we) need|what needs|"
    r"(?:dont|do not) know (?:how|what|where))\b"
)
