# A job that is tried again (`retries` of a profile) asks for twice the memory and time of the attempt before.
# Included last: it changes the rules that are there, of this workflow and of none that imports it.


def doubling(resource):
    """A resource as a rule states it, a number or a function, as one that grows with the attempts."""

    def asked(wildcards, attempt, **job):
        return resource.evaluate(wildcards, attempt=attempt, **job).value * 2 ** (attempt - 1)

    return asked


for stated in [each.resources for each in workflow.modifier.rules if not each.norun]:
    # A workflow that imports a rule may state others.
    for name in {"mem_mb", "runtime"} & set(stated):
        stated[name] = doubling(stated[name])
