"""The words of customer service: what says nothing, what says little, and what means the same."""

from __future__ import annotations

import re


def listed(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


STOP = listed(
    """a an the this that these those i im ive id ill me my mine myself we us our ours you your yours u ur he she it its
    they them their is am are was were be been being do does did done doing have has had having will would shall should
    can could may might must to of in on at for from by with as into onto up off over than then so if or and but nor
    there here just also too very really quite please pls plz kindly hi hello hey dear sir madam thanks thank yes ok
    okay oh well uh um hmm actually basically currently now today anyway cant dont doesnt didnt isnt wasnt arent wont
    couldnt wouldnt hasnt havent not no any some all about regarding concerning via per s t m re ve ll d want wanna
    wana like gonna gotta got such own same both each other more most much many few which who whom whose let lets
    damn bloody freaking
    thats whats wheres hows theres heres whos id ill youre youve theyre weve lot lots ton bunch million"""
)

LIGHT = listed(
    """get give take make need help tell know show see look find say ask use try go come put keep thing something
    anything someone somebody please what how why when where work time day new old good bad best way long still yet
    already again back out first last next many much possible able able assist support question inform info detail
    explain understand item product one two want wish would like hear learn receive got happen mean think thought
    guide step procedure process learn through further figure right wrong another extra full sure issue accept offer
    allow available"""
)

_FOLDS = {
    r"\bwi[\s-]?fi\b|\bwlan\b": "wifi",
    r"\be-mails?\b": "email",
    r"\b(log|sign|logging|signing|logged|signed)[\s-]?(in|into|on)\b": "login",
    r"\b(login|logon|signin)s?\b": "login",
    r"\b(sign|signing|signed)[\s-]?up\b|\bsignups?\b": "register",
    r"\b(log|sign)[\s-]?(out|off)\b": "logout",
    r"\b(money|cash|payment)\s+back\b|\bpay(ing)?\s+me\s+back\b|\bpaid\s+back\b": "refund",
    r"\b(back|return)\s+(the|my|our|all my)\s+(money|cash)\b": "refund",
    r"\bsen[dt](ing)?\s+(it|them|this|that|these|something|the \w+|my \w+)?\s*back\b": "return",
    r"\bgiv(e|ing)\s+(it\s+)?back\b": "return",
    r"\b(two|2)\s+times\b|\btwo charges\b|\bdoubled?\b|\bduplicated?\b": "twice",
    r"\bturn(ed|ing)?\s+(it\s+)?off\s+and\s+(back\s+)?on\b|\bpower[\s-]?cycle\b": "restart",
    r"\bhow\s+much\b": "price",
    r"\bpass\s+word\b|\bpass[\s-]?code\b|\bpwd\b": "password",
    r"\b(lost|(cant|dont|cannot) remember)\s+(my\s+)?password\b": "reset password",
    r"\bset(ting|s)?[\s-]?up\b": "setup",
    r"\bphone\s+number\b|\bmobile\s+number\b|\btelephone\s+number\b": "phone",
    r"\b(not|isnt|doesnt|wont|stopped|cant|dont|never|no longer|stops)\s+(be\s+|even\s+)?"
    r"(work|connect|load)\w*": "fault",
    r"\b(is|are|was|were|s|went|keeps going|goes|gone|go)\s+(\w+\s+)?down\b": r"\2 fault",
    r"\bno\s+(internet|wifi|signal|connection|network|picture|sound)\b": r"fault \1",
    r"\b(dont|didnt|not|cant)\s+(recogni[sz]ed?|authori[sz]ed?|make|made)\b": "unknown",
    r"\bhow\s+(long|soon)\b": "when",
    r"\beta\b|\b(expected|estimated) (time of )?(delivery|arrival)\b": "when deliver",
    r"\b(not|havent|hasnt|didnt|never|nothing)\s+(yet\s+|been\s+)?"
    r"(receiv|reciev|arriv|deliver|got|get|come|came|turned up)\w*": "late deliver",
    r"\b(more than once|(multiple|many|several|three|3) times|repeated|repeatedly)\b": "twice",
    r"\bwhat\s+time\b": "when",
    r"\b(whats|what is|what has) (happening|going on|happened) (with|to)\b": "status",
    r"\bstop(ping)?\s+(my|the|this)\b": "cancel",
    r"\bget(ting)?\s+rid\s+of\b": "cancel",
    r"\bmov(e|ed|ing)\s+(house|home|flat|to a new)\b": "changed address",
    r"\bcall\s?cent(er|re)s?\b": "callcenter",
    r"\bgift[\s-]?card\b": "voucher",
    r"\bdirect\s+debit\b": "debit",
    r"\bin[\s-]store\b": "store",
}
FOLDS = tuple((re.compile(pattern), plain) for pattern, plain in _FOLDS.items())

# Each line: the stem that stands for all of them, then words and stems that mean the same.
_SAME = """
order: purchase purchas buy bought ordr orders
refund: compens compensation compensate compensated reimburs reimburse reimbursement rebat rebate
refund: restitut restitution moneyback repay
invoic: invoice bill billing billed bills receipt
pay: payment paid pays payed paying transact
charg: charge charged charges debit debited deduct deducted deduction
twice: double duplicate dup
subscrib: subscription subscript subscribe member membership
cancel: cancellation cancell cancelation cancelling termin terminate abort cancle
return: returns returning
exchang: exchange replac replace replacement swap
broken: broke break brok defect defectiv defective faulty damag damage damaged cracked crack dead
fault: error fail failed failing failure outag outage crash malfunction
internet: wifi broadband network connect connection online web
router: modem hub
slow: sluggish lag laggy slower speed
password: passwd
reset: recover recovery retriev retrieve restore restor forgot forgotten forget
chang: change changed updat update edit modifi modify alter amend switch correct
address: addres addresses adress
delet: delete remov remove removal clos close closing closure deactiv deactivate eras erase
creat: create creation
regist: register registr registration enrol enroll
deliver: delivery deliv deliveri ship shipment shipping shipp shipped arriv arrive arrived arrival dispatch
parcel: packag package packet consignment
track: tracking trace
issue: problem issu issues trouble
status: progress
price: pric cost costs fee fees expens
voucher: coupon promo promot promotion discount
restart: reboot rebooting
verif: verify verifi verification verificat
fraud: scam scammed stolen steal stole hack hacked unauthor unauthoris unauthorized unauthorised
phone: telephon telephone mobil mobile cell cellphone
email: mail
devic: device equipment gadget
person: human agent representative operator advisor adviser someone somebody
talk: speak spoke chat
complain: complaint complaints reclamation
opening: hour hours
missing: miss lost los lose
late: delay delayed overdue
item: article product goods merchandise
"""

_KINDRED = """
parcel order deliver
order item parcel
deliver parcel order when
item order parcel
where status
track where status
status where
when deliver
charg pay
pay charg
price pay
refund charg
delet cancel
return exchang refund
exchang return
router internet devic
internet router
slow internet
fault broken issue
issue fault
broken fault
unknown fraud
reset password
password login
login password account
account profil
profil account
creat regist
regist creat account
chang set
phone number
late when status
wait late when where
missing where
upgrad chang plan
plan subscrib
subscrib plan
devic router
twice again
"""


def _same() -> dict[str, str]:
    table: dict[str, str] = {}
    for line in _SAME.strip().splitlines():
        stem, _, others = line.partition(":")
        table.update(dict.fromkeys(others.split(), stem))
        table[stem] = stem
    return table


def _kindred() -> dict[str, tuple[str, ...]]:
    rows = (line.split() for line in _KINDRED.strip().splitlines())
    return {first: tuple(others) for first, *others in rows}


SAME = _same()
KINDRED = _kindred()
