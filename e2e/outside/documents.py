"""Documents against the classes of the vendor's own builder: an element, a nesting, an attribute or a text
that it does not know is a failure.

    documents.py FILE        one JSON string a line, each a document

Prints what was seen, by element.
"""

import inspect
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

from twilio.twiml import TwiML, lower_camel, voice_response

MADE_BY = re.compile(r"\bself\.nest\(\s*(\w+)\(")


def attribute(name):
    return lower_camel(TwiML.MAP.get(name, name))


def parameters(function):
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self"]


class Element:
    """What may stand in and at an element, read from its class and the method that makes it."""

    known = {}

    def __init__(self, made):
        self.made = made
        named = [p for p in parameters(made.__init__) if p.kind != p.VAR_KEYWORD]
        self.body = [p.name for p in named]
        self.name = made(*["x" for p in named if p.default is p.empty]).name
        self.children = {}
        for _, method in inspect.getmembers(made, inspect.isfunction):
            found = MADE_BY.search(inspect.getsource(method))
            child = found and getattr(voice_response, found.group(1), None)
            if child is None:
                continue
            element = Element.of(child)
            named = [p for p in parameters(method) if p.kind != p.VAR_KEYWORD]
            attributes = {attribute(p.name) for p in named if p.name not in element.body}
            # An older spelling of a method makes the same element.
            _, known = self.children.get(element.name, (element, set()))
            self.children[element.name] = (element, known | attributes)

    @classmethod
    def of(cls, made):
        # Some nest in themselves.
        if made not in cls.known:
            cls.known[made] = element = cls.__new__(cls)
            element.__init__(made)
        return cls.known[made]


def check(node, element, attributes, path, problems, seen):
    path = f"{path}/{node.tag}"
    seen[node.tag] = seen.get(node.tag, 0) + 1
    for name in node.attrib:
        if name not in attributes:
            problems.append(f"{path} has {name}")
    texts = [node.text, *(child.tail for child in node)]
    if not element.body and any(text and text.strip() for text in texts):
        problems.append(f"{path} has text")
    for child in node:
        if child.tag not in element.children:
            problems.append(f"{path} has <{child.tag}>")
            continue
        check(child, *element.children[child.tag], path, problems, seen)


def main():
    root = Element.of(voice_response.VoiceResponse)
    # What knows everything is no check.
    wrong = [
        '<Response><Said/></Response>',
        '<Response><Say colour="red">a</Say></Response>',
        '<Response><Gather><Dial>1</Dial></Gather></Response>',
        '<Response><Pause>a</Pause></Response>',
        '<Response><Dial><Sip transport="udp">sip:a@example.com</Sip></Dial></Response>',
    ]
    for document in wrong:
        problems = []
        check(ElementTree.fromstring(document), root, set(), "", problems, {})
        if len(problems) != 1:
            sys.exit(f"the check itself is broken: {document}: {problems}")
    failures, seen, count = [], {}, 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            count += 1
            node = ElementTree.fromstring(document.encode())
            problems = [] if node.tag == "Response" else [f"<{node.tag}> is no Response"]
            check(node, root, set(), "", problems, seen)
            failures += [f"{problem}: {document}" for problem in problems]
    print(json.dumps({"documents": count, "seen": seen, "failures": failures}))
    sys.exit(bool(failures) or not count)


main()
