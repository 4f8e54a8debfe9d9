def codes_section(material):
    return None
